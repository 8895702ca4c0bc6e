"""The resources of comfyard.io as pydantic models, their conditions, and the CRDs generated from them. Pure."""
