"""fairseq-train for each list of arguments in a JSON file, one after the other: the workers start only once."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from fairseq_cli.train import cli_main

for name, arguments in json.loads(Path(sys.argv[1]).read_text()).items():
    if os.environ["RANK"] == "0":
        print(f"\n= {name} =", flush=True)
    sys.argv = ["fairseq-train", *arguments]
    cli_main()
