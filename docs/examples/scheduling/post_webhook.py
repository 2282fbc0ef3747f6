"""For --on-failure: post what failed to a webhook (address from ATLAS_WEBHOOK_URL), with the standard library alone."""

from __future__ import annotations

import json
import os
import sys
import urllib.request

text = sys.stdin.read()
body = json.dumps({"text": text, "exit_code": int(os.environ.get("ATLAS_EXIT_CODE", "1"))}).encode("utf-8")
address = os.environ["ATLAS_WEBHOOK_URL"]
if not address.startswith(("https://", "http://127.0.0.1:")):
    sys.exit("ATLAS_WEBHOOK_URL must begin with https://")
request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310
urllib.request.urlopen(request, timeout=20).close()  # noqa: S310
