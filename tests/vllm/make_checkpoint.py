"""Save the GGUF file (first argument) as an ordinary checkpoint of 16-bit floats in the folder (second argument)."""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

gguf, folder = Path(sys.argv[1]), sys.argv[2]
tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
dense = AutoModelForCausalLM.from_pretrained(
    gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
)
# What was read from a GGUF file counts as quantized and is not saved; a model made from its config is.
plain = AutoModelForCausalLM.from_config(dense.config, dtype=torch.bfloat16)
plain.load_state_dict(dense.state_dict())
plain.save_pretrained(folder)
tokenizer.save_pretrained(folder)
