"""Safetensors files with real names of tensors, and next to no weights: a few of those that each family has."""

import json

CHECKPOINT_SDXL = (
    "model.diffusion_model.input_blocks.0.0.weight",
    "model.diffusion_model.time_embed.0.weight",
    "model.diffusion_model.out.2.weight",
    "conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc1.weight",
    "conditioner.embedders.1.model.transformer.resblocks.0.ln_1.weight",
    "first_stage_model.decoder.conv_in.weight",
)
UNET = ("input_blocks.0.0.weight", "time_embed.0.weight", "out.2.weight", "output_blocks.0.0.in_layers.0.weight")
FLUX = (
    "img_in.weight",
    "txt_in.weight",
    "vector_in.in_layer.weight",
    "guidance_in.in_layer.weight",
    "double_blocks.0.img_attn.norm.key_norm.scale",
    "double_blocks.0.img_attn.qkv.weight",
    "single_blocks.0.linear1.weight",
    "final_layer.linear.weight",
)
QWEN_IMAGE = (
    "img_in.weight",
    "txt_in.weight",
    "txt_norm.weight",
    "transformer_blocks.0.img_mlp.net.0.proj.weight",
    "transformer_blocks.0.attn.add_q_proj.weight",
)
WAN = (
    "patch_embedding.weight",
    "text_embedding.0.weight",
    "blocks.0.self_attn.q.weight",
    "blocks.0.ffn.0.weight",
    "head.modulation",
    "head.head.weight",
)
SD3 = (
    "x_embedder.proj.weight",
    "pos_embed",
    "context_embedder.weight",
    "joint_blocks.0.context_block.attn.qkv.weight",
    "final_layer.linear.weight",
)
HUNYUAN_VIDEO = (
    "img_in.proj.weight",
    "txt_in.individual_token_refiner.blocks.0.norm1.weight",
    "double_blocks.0.img_attn.norm.key_norm.scale",
    "single_blocks.0.linear1.weight",
)
LTX_VIDEO = (
    "patchify_proj.weight",
    "adaln_single.emb.timestep_embedder.linear_1.bias",
    "transformer_blocks.0.attn2.to_k.weight",
    "proj_out.weight",
)
LUMINA2 = (
    "x_embedder.weight",
    "cap_embedder.1.weight",
    "layers.0.attention.qkv.weight",
    "final_layer.linear.weight",
)
HIDREAM = (
    "x_embedder.proj.weight",
    "caption_projection.0.linear.weight",
    "double_stream_blocks.0.block.attn1.to_q.weight",
    "final_layer.linear.weight",
)
VAE = (
    "encoder.conv_in.weight",
    "encoder.mid.block_1.norm1.weight",
    "decoder.conv_in.weight",
    "decoder.mid.block_1.norm1.weight",
    "decoder.up.0.block.0.conv1.weight",
)
WAN_VAE = ("encoder.middle.0.residual.0.gamma", "decoder.middle.0.residual.0.gamma", "decoder.conv1.weight")
LTX_VAE = (
    "encoder.conv_in.conv.weight",
    "decoder.conv_in.conv.weight",
    "decoder.up_blocks.0.res_blocks.0.conv1.conv.weight",
)
CLIP = (
    "text_model.embeddings.token_embedding.weight",
    "text_model.encoder.layers.0.mlp.fc1.weight",
    "text_model.encoder.layers.0.self_attn.k_proj.weight",
    "text_model.final_layer_norm.weight",
)
T5 = (
    "shared.weight",
    "encoder.block.0.layer.0.SelfAttention.k.weight",
    "encoder.block.23.layer.1.DenseReluDense.wi_1.weight",
    "encoder.final_layer_norm.weight",
)
QWEN_VL = (
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.k_proj.weight",
    "model.layers.0.self_attn.k_proj.bias",
    "model.norm.weight",
    "lm_head.weight",
    "visual.patch_embed.proj.weight",
)
CLIP_VISION = (
    "vision_model.embeddings.class_embedding",
    "vision_model.embeddings.patch_embedding.weight",
    "vision_model.encoder.layers.0.layer_norm1.weight",
    "visual_projection.weight",
)
LORA_KOHYA = (
    "lora_unet_input_blocks_4_1_proj_in.alpha",
    "lora_unet_input_blocks_4_1_proj_in.lora_down.weight",
    "lora_unet_input_blocks_4_1_proj_in.lora_up.weight",
)
LORA_DIFFUSERS = (
    "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight",
    "transformer.single_transformer_blocks.0.attn.to_q.lora_B.weight",
)
LOKR = (
    "lycoris_transformer_blocks_0_attn_to_q.alpha",
    "lycoris_transformer_blocks_0_attn_to_q.lokr_w1",
    "lycoris_transformer_blocks_0_attn_to_q.lokr_w2_a",
    "lycoris_transformer_blocks_0_attn_to_q.lokr_w2_b",
)
CONTROL_NET = (
    "control_model.input_blocks.0.0.weight",
    "control_model.input_hint_block.0.weight",
    "control_model.zero_convs.0.0.weight",
)
CONTROL_NET_DIFFUSERS = (
    "conv_in.weight",
    "time_embedding.linear_1.weight",
    "controlnet_cond_embedding.conv_in.weight",
    "controlnet_down_blocks.0.weight",
)
CONTROL_NET_FLUX = (*FLUX, "controlnet_blocks.0.weight", "controlnet_x_embedder.weight")
ESRGAN = ("conv_first.weight", "body.0.rdb1.conv1.weight", "conv_body.weight", "conv_last.weight")
IP_ADAPTER = ("image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight", "ip_adapter.1.to_v_ip.weight")


def model_file(*names: str, dtype: str = "F16", shape: tuple[int, ...] = (2, 3)) -> bytes:
    """A file with these tensors, all of one type and shape; a name may tell another type: `name:F32`."""
    header, end = {}, 0
    for each in names:
        name, _, own = each.partition(":")
        size = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1}[own or dtype]
        for n in shape:
            size *= n
        header[name] = {"dtype": own or dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)
