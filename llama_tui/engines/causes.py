"""Why a model server dies, told by a fragment of its log (vllm.md §3, and llama.cpp's own words).

Order counts: a line is held against the rows from top to bottom, so the special stand above the general. Of the lines
of a log the surest one counts, of equally sure ones the first: `_REASONS`, then `_TABLE`, then `_AFTERMATH`.
"""

from __future__ import annotations

import re

from llama_tui.core.interfaces import Cause

_REASONS: tuple[tuple[str, str, str], ...] = (
    (r"is restricted and you are not in the authorized list|is awaiting a review from the repo",
     "the token may not read this model: access was not granted yet",
     "ask for it on the model's page on Hugging Face, then try again"),
    (r"Invalid credentials in Authorization header|Invalid user token",
     "Hugging Face refused the token", "make a new read token, without quotes or blanks around it"),
    (r"No matching distribution found for numpy|numpy==\S+ has no wheels with a matching Python",
     "the guide's NumPy cannot be installed with the machine's Python",
     "use an image with Python 3.9-3.11, or --profile current"),
)  # fmt: skip
"""What stands some lines below a failure that the table knows too, and tells more of it."""

_TABLE: tuple[tuple[str, str, str], ...] = (
    # access to the model
    (r"GatedRepoError|Cannot access gated repo|trying to access a gated repo|Access to model .* is restricted",
     "the model is gated, and no token with access was given",
     "accept its licence on its page on Hugging Face, and give a read token"),
    (r"Access denied\. .* requires approval",
     "the model is gated, and the token, if one was given, may not read it yet",
     "accept its licence on its page on Hugging Face, and give a read token of the same account"),
    (r"RepositoryNotFoundError|is not a valid model identifier|Invalid repository ID or local directory",
     "there is no such model on Hugging Face, or it is private", "mend its name, or give a token that may read it"),
    (r"Model '.*' not found\.",
     "there is no such model on Hugging Face, or it is private", "mend its name, or give a token that may read it"),
    (r"429 Too Many Requests: you have reached your",
     "Hugging Face limits how much may be asked", "give a token, or wait a few minutes"),
    (r"LocalEntryNotFoundError|outgoing traffic has been disabled|We couldn't connect to .* to load the files",
     "the weights are not on the machine, and the server may not fetch them",
     "run the same `up` again: it downloads what is missing"),
    (r"Cannot find any model weights with",
     "there are no weights beside the model's config.json", "put its *.safetensors into the same folder"),
    # disk and memory
    (r"No space left on device|Not enough free disk space to download",
     "the disk of the machine is full", "free some, or take a type with more storage"),
    (r"estimated maximum model length is (?P<n>\d+)",
     "the KV cache is too small for this context; {n} tokens would fit", "try again with --max-model-len {n}"),
    (r"max seq len \(\d+\) is larger than the maximum number of tokens that can be stored in KV cache \((?P<n>\d+)\)",
     "the KV cache is too small for this context; {n} tokens would fit", "try again with --max-model-len {n}"),
    (r"No available memory for the cache blocks",
     "the weights leave no memory for the KV cache", "take a larger machine, or a smaller or quantized model"),
    (r"Free memory on device .*is less than desired GPU memory utilization|Error in memory profiling",
     "another process holds memory of the GPU", "end it there (nvidia-smi shows it), then run the same `up` again"),
    (r"out of memory occurred when warming up sampler",
     "the GPU ran out of memory while it warmed up", "try again with fewer sequences: --max-num-seqs 128"),
    (r"CUDA out of memory|OutOfMemoryError|Failed to load model - not enough GPU memory",
     "the GPU's memory is too small for the model", "take a larger or more GPUs, or a smaller or quantized model"),
    (r"failed to allocate|unable to allocate|std::bad_alloc|MemoryError",
     "the memory is too small for the model", "take a larger machine, a smaller model, or a shorter --max-model-len"),
    # several GPUs
    (r"is larger than the number of available GPUs|required GPUs exceeds the total|less than max local gpu count",
     "more GPUs were asked for than the machine has", "choose a type with more GPUs"),
    (r"number of attention heads \((?P<n>\d+)\) must be divisible by tensor parallel size",
     "{n} attention heads cannot be split over that many GPUs", "choose 1, 2, 4 or 8 GPUs"),
    # driver, GPU, CUDA
    (r"NVIDIA driver on your system is too old",
     "the NVIDIA driver is too old for this vLLM", "use --profile guide, or an image with a newer driver"),
    (r"system not yet initialized|cudaErrorSystemNotReady|error 802",
     "CUDA does not start on this machine, though nvidia-smi looks well", "end it and try another region"),
    (r"Failed to infer device type|no NVIDIA GPU|No CUDA GPUs are available",
     "no GPU was found that can be used", "is there a GPU, and does nvidia-smi show it? else choose another type"),
    (r"Bfloat16 is only supported on GPUs with compute capability",
     "this GPU cannot compute in bfloat16", "try again with --serve-arg=--dtype=half"),
    (r"no kernel image is available for execution",
     "this vLLM has no code for this GPU", "use the other profile, or another type"),
    (r"libcudart\.so\.\d+: cannot open shared object",
     "vLLM and PyTorch are built for different CUDA versions", "set it up anew under another --name"),
    # start
    (r"[Aa]ddress already in use|couldn't bind HTTP server",
     "its port is in use on the machine", "the same `up` again looks for a free one; or choose one with --port"),
    (r"User-specified max_model_len \(\d+\) is greater than the derived max_model_len",
     "the model was not made for so long a context", "leave --max-model-len out, or make it smaller"),
    (r"`rope_scaling` must be a dictionary with two fields|KeyError: 'type'$",
     "this vLLM is too old for the model", "use --profile current"),
    (r"No module named 'setuptools'",
     "the guide's pins want setuptools, which this environment lacks", "install it there: pip install setuptools"),
    (r"compiled using NumPy 1\.x cannot be run in NumPy 2|No module named 'numpy\.lib\.function_base'",
     "NumPy is too new for this vLLM", "install numpy==1.26.4 in its environment"),
    (r"cannot import name 'LogitsWarper'",
     "transformers is too new for this vLLM", "install transformers==4.46.3 in its environment"),
    (r"unrecognized arguments: (?P<n>.*)",
     "this vLLM does not know the option {n}", "leave it out"),
    (r"No matching distribution found for vllm|Requires-Python",
     "this vLLM cannot be installed with the machine's Python", "use --profile current, or another image"),
    (r"GLIBC_[\d.]+' not found|no wheels with a matching platform tag",
     "the system of the machine is too old for this vLLM", "use a newer image"),
    (r"failed to load model|error loading model|invalid magic|not a valid GGUF|failed to read magic",
     "the weights cannot be loaded", "they may be damaged: remove them from the machine's cache, then try again"),
    # what pydantic says in the line below its ValidationError
    (r"\b(?:Value error|Assertion failed), (?P<n>.+?)(?: \[type=|$)", "{n}", ""),
)  # fmt: skip

_AFTERMATH: tuple[tuple[str, str, str], ...] = (
    (r"Name or service not known|Temporary failure in name resolution|No address associated with hostname",
     "the machine cannot look up the names of other servers", "has it a network and DNS? then the same `up` again"),
    (r"NCCL error|ncclUnhandledCudaError|ncclSystemError|ncclRemoteError",
     "the GPUs cannot talk to each other (NCCL)", "try another machine, or NCCL_P2P_DISABLE=1 on this one"),
    (r"Engine iteration timed out",
     "one step of the engine took over 60 s: most likely the GPUs wait for each other in vain (NCCL)",
     "try again with --serve-env NCCL_P2P_DISABLE=1, or on another machine"),
    (r"(?:Waiting for creating|Cannot provide) a placement group|resource request cannot be scheduled right now",
     "Ray waits for more GPUs than are free on the machine",
     "choose a type with more GPUs, or end what holds them (nvidia-smi shows it)"),
    (r"died unexpectedly \(exit code: -9\)|^(?:.*: line \d+: +\d+ |\[\d+\][+-]? +)?Killed(?: {2,}.*)?$",
     "a process of the server was killed: most likely the machine ran out of memory", "take a larger machine"),
)  # fmt: skip
"""What a process also says when another one failed before it."""

UNKNOWN = 1
"""How sure an exception is that stands in no table: like the aftermath, so that the first of both is the cause."""

_ROWS = tuple(
    (sure, re.compile(fragment), sentence, hint)
    for sure, table in ((3, _REASONS), (2, _TABLE), (UNKNOWN, _AFTERMATH))
    for fragment, sentence, hint in table
)


def cause_in(line: str) -> tuple[int, Cause] | None:
    """The cause that a line tells of, if it is one that we know, and before it how sure that is (1 to 3)."""
    for sure, fragment, sentence, hint in _ROWS:
        if found := fragment.search(line):
            n = (found.groupdict().get("n") or "").strip()
            return sure, Cause(sentence.replace("{n}", n), hint.replace("{n}", n))
    return None
