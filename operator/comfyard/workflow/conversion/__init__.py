"""From the format of ComfyUI's editor, which also says where a node lies on the canvas, to the API's, which runs.

What ComfyUI's own frontend does when somebody presses Run (`graphToPrompt`) is the measure: ids of nodes inside
subgraphs, what a bypassed node lets through, whose value a promoted widget has.
"""
