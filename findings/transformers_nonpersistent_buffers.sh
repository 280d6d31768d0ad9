#!/usr/bin/env bash
# transformers 5.24.0: from_pretrained fills a buffer that is not saved with whatever the memory holds.
#
# A model registers class weights as a buffer with persistent=False, as torch's documentation offers for what is
# made again by the constructor. from_pretrained builds the model without data and gives such a buffer new memory;
# nothing warns. Seen with torch 2.13.0: the constructor's 1, 2, 3 come back as numbers such as 6.7e-44, 0, -1.2e-07.
# Exits 1 if the buffer comes back as the constructor made it.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.24.0

HF_HUB_OFFLINE=1 "$home/venv/bin/python" - "$home/model" <<'PYTHON'
import sys

import torch
from transformers import PretrainedConfig, PreTrainedModel


class Config(PretrainedConfig):
    model_type = "weighted"


class Model(PreTrainedModel):
    config_class = Config

    def __init__(self, config):
        super().__init__(config)
        self.layer = torch.nn.Linear(2, 2)
        self.register_buffer("class_weights", torch.tensor([1.0, 2.0, 3.0]), persistent=False)
        self.post_init()

    def _init_weights(self, module):
        pass


model = Model(Config())
model.save_pretrained(sys.argv[1])
loaded = Model.from_pretrained(sys.argv[1])
print("made:  ", model.class_weights.tolist())
print("loaded:", loaded.class_weights.tolist())
assert torch.equal(loaded.layer.weight, model.layer.weight), "what is saved comes back"
sys.exit(torch.equal(loaded.class_weights, model.class_weights))
PYTHON
