"""Wrong usages of `gateway` and `gateway key`."""

import random

from headrace.broker.gateway.keys.key_text import hash_of, new_key
from tests.unit.cli.usage.row import Row

_KEY = new_key(random.Random(5).choice)
_FILE = {"k.toml": f'[keys.a]\ntenant = "t"\n[[keys.a.hashes]]\nhash = "{hash_of(_KEY)}"\n'}
_LIST = {"k.toml": f'[keys.a]\ntenant = "t"\nhashes = ["{hash_of(_KEY)}"]\n'}
_NAMES = "1 to 40 letters, digits, dots, underscores and hyphens"

ROWS = (
    Row("gateway --config gone.toml", r"the settings file gone\.toml cannot be read: No such file or directory\."),
    Row("gateway --port 8090", r"There is no option --port: see `headrace gateway -h`\."),
    Row("gateway kye list", r"There is no verb kye, only key: did you mean key\?"),
    Row("gateway --config c.toml key list k.toml", r"Options stand behind the last verb, as in `headrace gateway key "
        r"list --config FILE`\.", files=_FILE),
    Row("gateway key lst", r"There is no verb lst, only .*: did you mean list\?"),
    Row("gateway key new", r"NAME is missing: see `headrace gateway key new -h`\."),
    Row("gateway key new a", r"--tenant is missing: see `headrace gateway key new -h`\."),
    Row("gateway key new a/b --tenant t", fr"The name of a key is {_NAMES}\."),
    Row(f"gateway key new {_KEY} --tenant t", r"NAME looks like a key: give a name for people, such as lead-ingest\."),
    Row("gateway key new a --tenant a/b", fr"The name of a tenant is {_NAMES}\."),
    Row("gateway key new a --tenant t --lane Bulk", r"The name of a lane is 1 to 32 lower-case letters, .*\."),
    Row("gateway key new a --tenant t --model ''", r"--model must be printable text\."),
    Row("gateway key new a --tenant t --wait 4000", r"--wait must be at most 3600, not 4000\."),
    Row("gateway key new a --tenant t --on-disconnect drop", r"--on-disconnect must be keep or cancel, not drop\."),
    Row("gateway key new a --tenant t --not-after soon",
        r"soon is not a time: use a day such as 2027-01-31, a span such as 15m or 2h, or 2026-12-01T09:00:00Z\."),
    Row("gateway key new a --tenant t --not-after 2020-01-31", r"--not-after has passed: the key would be refused at "
        r"once\."),
    Row("gateway key new a --tenant t --file k.toml", r"k\.toml has a key a: name this one otherwise, or give it one "
        r"more text with `headrace gateway key rotate a --file k\.toml`\.", files=_FILE),
    Row("gateway key new b --tenant t --file gone/k.toml", r"The key file gone/k\.toml cannot be written: No such file "
        r"or directory\."),
    Row("gateway key new b --tenant t --file {dir}", r"The key file .* is not a regular file\."),
    Row("gateway key rotate b --file k.toml", r"There is no key b, only a\.", files=_FILE, code=1),
    Row("gateway key rotate a --file k.toml", r"k\.toml has the hashes of a in one list, .* by hand\.", files=_LIST),
    Row("gateway key rotate a --file gone.toml", r"The key file gone\.toml cannot be read: No such file or "
        r"directory\."),
    Row("gateway key list", r"No key file is named: give FILE, or set gateway\.keys_file\."),
    Row("gateway key list gone.toml", r"The key file gone\.toml cannot be read: No such file or directory\."),
    Row("gateway key list k.toml", r"k\.toml: keys\.a\.tenant is missing\.\nk\.toml: keys\.a\.hashes is missing\.",
        files={"k.toml": "[keys.a]\n"}, sentences=2),
    Row("gateway key check k.toml --jsn", r"There is no option --jsn: did you mean --json\?", files=_FILE),
    Row("gateway key check gone.toml", r"mistake  The key file gone\.toml cannot be read: No such file or directory\.\n"
        r"1 mistake: a gateway does not start with this file, and a running one ignores it\.", sentences=2),
    Row("gateway key find k.toml", r"Standard input has no key: give it one on its first line\.", files=_FILE),
    Row("gateway key find k.toml", r"k\.toml has no such key\.", files=_FILE, stdin=b"sk-other", code=1),
    Row("gateway key find k.toml", r"Standard input has no key: give it one on its first line\.", files=_FILE,
        stdin=b"x" * 10_000),
)  # fmt: skip
