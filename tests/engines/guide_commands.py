"""What Lambda's guide "Deploying a Llama 3 inference endpoint" types on the machine, with its line breaks joined."""

INSTALL = "python3 -m pip install vllm==0.4.3 huggingface-hub==0.23.2 torch==2.3.0 numpy==1.26.4"
SERVER = "python3 -m vllm.entrypoints.openai.api_server --host=0.0.0.0 --port=8000 --model=meta-llama/"

GUIDE = {
    "llama-3-8b": (
        "python3 -m venv Meta-Llama-3-8B",
        "source Meta-Llama-3-8B/bin/activate",
        INSTALL,
        "huggingface-cli login",
        f"{SERVER}Meta-Llama-3-8B &> api_server.log &",
    ),
    "llama-3-70b": (
        "python3 -m venv Meta-Llama-3-70B",
        "source Meta-Llama-3-70B/bin/activate",
        INSTALL,
        "huggingface-cli login",
        f"{SERVER}Meta-Llama-3-70B --tensor-parallel-size 8 &> api_server.log &",
    ),
}
