"""What the help of each verb shows as examples, in the order of a session: a test types them one after the other.

They work offline, in a project made by `cloudmodel init` and on its stack `local`; those of `ci init` where the project
is in a git repository and has a stack `prod` on aws.
"""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "init": ("cloudmodel init shop --name shop", "cloudmodel init mine --template blank"),
    "doctor": ("cloudmodel doctor",),
    "completion": ("cloudmodel completion bash > ~/.cloudmodel-completion",),
    "engine status": ("cloudmodel engine status",),
    "scan": ("cloudmodel scan models/digits.onnx",),
    "package": ("cloudmodel package",),
    "inspect": ("cloudmodel inspect", "cloudmodel inspect models/digits.onnx"),
    "verify": ("cloudmodel verify",),
    "serve": ("cloudmodel serve --port 8080",),
    "optimize": ("cloudmodel optimize",),
    "optimize replay": ("cloudmodel optimize replay",),
    "stack init": ("cloudmodel stack init dev --target local",),
    "stack select": ("cloudmodel stack select local",),
    "stack ls": ("cloudmodel stack ls",),
    "local start": ("cloudmodel local start",),
    "local status": ("cloudmodel local status",),
    "bootstrap": ("cloudmodel bootstrap --stack local --github acme/shop --yes",),
    "preview": (
        "cloudmodel preview",
        "cloudmodel preview --stack local --diff",
        "cloudmodel preview --save-plan plan.json",
        "cloudmodel preview --json > preview.json",
    ),
    "ci init": (
        "cloudmodel ci init github --stack prod",
        "cloudmodel ci init gitlab --stack prod --environment live",
    ),
    "ci comment": ("cloudmodel ci comment --stack local preview.json",),
    "up": (
        "cloudmodel up --plan plan.json --yes",
        "cloudmodel up --stack dev --yes --message 'first try'",
        "cloudmodel up --yes --expect-no-changes",
    ),
    "outputs": ("cloudmodel outputs", "cloudmodel outputs endpoint_name"),
    "status": ("cloudmodel status", "cloudmodel status --stack dev --events 1"),
    "invoke": ("cloudmodel invoke --input digit.npy", "cloudmodel invoke --input - < request.json"),
    "diff": (
        "cloudmodel diff $(cloudmodel outputs bundle_digest -s local) $(cloudmodel outputs bundle_digest -s dev)",
    ),
    "drift": ("cloudmodel drift", "cloudmodel drift --json"),
    "refresh": ("cloudmodel refresh --yes",),
    "history": ("cloudmodel history --limit 5",),
    "rollback": ("cloudmodel rollback --to 1 --yes",),
    "state export": ("cloudmodel state export --file state.json",),
    "state import": ("cloudmodel state import --file state.json --yes",),
    "state rebuild": ("cloudmodel state rebuild --stack local --yes",),
    "state verify": ("cloudmodel state verify",),
    "state unlock": ("cloudmodel state unlock --stack local --id 4c1f0d0c2b6a4a3e9a7a5a0f6d1e2b37",),
    "cancel": ("cloudmodel cancel --yes",),
    "destroy": ("cloudmodel destroy --yes", "cloudmodel destroy --stack dev --yes"),
    "stack rm": ("cloudmodel stack rm dev --yes",),
    "local reset": ("cloudmodel local reset",),
    "local stop": ("cloudmodel local stop",),
}
NOT_OFFLINE = frozenset({"engine install"})
"""Verbs whose only work is to fetch something."""


def of(verb: str) -> str:
    """The examples of `verb` as a paragraph of its help that click does not fill; empty where it has none."""
    lines = EXAMPLES.get(verb, ())
    return "\b\nExamples:\n" + "".join(f"  {line}\n" for line in lines) + "\n" if lines else ""
