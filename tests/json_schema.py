"""As much of JSON Schema (draft 2020-12) as docs/*.schema.json use; a keyword that is not known here is refused."""

import re

SAID = {"$schema", "title", "description", "$defs"}
TYPES = {"object": dict, "array": list, "string": str, "number": int | float, "integer": int, "boolean": bool}


def violations(value, schema, root=None, at="$"):
    """Where the value is not what the schema allows, in words."""
    root, wrong = root or schema, []
    for keyword, limit in schema.items():
        if keyword not in SAID:
            wrong += KEYWORDS[keyword](value, limit, schema, root, at)
    return wrong


def _is(value, name):
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _type(value, limit, schema, root, at):
    names = limit if isinstance(limit, list) else [limit]
    return [] if any(_is(value, name) for name in names) else [f"{at} is {value!r}, no {' or '.join(names)}"]


def _ref(value, limit, schema, root, at):
    return violations(value, root["$defs"][limit.removeprefix("#/$defs/")], root, at)


def _required(value, limit, schema, root, at):
    return [f"{at} lacks {name}" for name in limit if name not in value]


def _properties(value, limit, schema, root, at):
    return [line for n, part in limit.items() if n in value for line in violations(value[n], part, root, f"{at}.{n}")]


def _additional(value, limit, schema, root, at):
    others = value.keys() - schema.get("properties", {}).keys()
    if limit is False:
        return [f"{at} has {name}, which is not described" for name in others]
    return [line for name in others for line in violations(value[name], limit, root, f"{at}.{name}")]


def _items(value, limit, schema, root, at):
    entries = value if isinstance(value, list) else ()
    return [line for n, entry in enumerate(entries) for line in violations(entry, limit, root, f"{at}[{n}]")]


def _pattern(value, limit, schema, root, at):
    return [f"{at} is {value!r}"] if isinstance(value, str) and not re.search(limit, value) else []


def _limit(holds):
    return lambda value, limit, schema, root, at: [] if holds(value, limit) else [f"{at} is {value!r}, not {limit!r}"]


KEYWORDS = {
    "type": _type,
    "$ref": _ref,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
    "pattern": _pattern,
    "const": _limit(lambda value, limit: value == limit),
    "enum": _limit(lambda value, limit: value in limit),
    "minimum": _limit(lambda value, limit: value >= limit),
    "maximum": _limit(lambda value, limit: value <= limit),
    "minItems": _limit(lambda value, limit: len(value) >= limit),
    "maxItems": _limit(lambda value, limit: len(value) <= limit),
}
