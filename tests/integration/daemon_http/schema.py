"""As much of JSON Schema as docs/openapi.json uses; a keyword that is not known here is an error."""

IGNORED = {"description", "format", "example"}
TYPES = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
}


def _object(value, schema, root, where):
    for name in schema.get("required", []):
        if name not in value:
            yield f"{where}: {name} is missing"
    known = schema.get("properties", {})
    extra = schema.get("additionalProperties", True)
    for name, part in value.items():
        if name in known:
            yield from faults(part, known[name], root, f"{where}.{name}")
        elif extra is False:
            yield f"{where}: {name} is not in the schema"
        elif isinstance(extra, dict):
            yield from faults(part, extra, root, f"{where}.{name}")


def _one_of(value, schemas, root, where):
    found = [list(faults(value, schema, root, where)) for schema in schemas]
    if sum(not each for each in found) != 1:
        yield f"{where}: fits {sum(not each for each in found)} of {len(schemas)} schemas: {found}"


def faults(value, schema, root, where="$"):
    """What is wrong with a value, as texts; nothing if it fits."""
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        yield from faults(value, target, root, where)
        return
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(TYPES[kind](value) for kind in kinds):
        yield f"{where}: {value!r} is not {' or '.join(kinds)}"
        return
    for keyword, wanted in schema.items():
        if keyword == "enum" and value not in wanted:
            yield f"{where}: {value!r} is none of {wanted}"
        elif keyword == "const" and (value != wanted or type(value) is not type(wanted)):
            yield f"{where}: {value!r} is not {wanted!r}"
        elif keyword == "minimum" and value is not None and value < wanted:
            yield f"{where}: {value} is below {wanted}"
        elif keyword == "maximum" and value is not None and value > wanted:
            yield f"{where}: {value} is above {wanted}"
        elif keyword == "minLength" and len(value) < wanted:
            yield f"{where}: shorter than {wanted}"
        elif keyword == "maxLength" and len(value) > wanted:
            yield f"{where}: longer than {wanted}"
        elif keyword == "minItems" and len(value) < wanted:
            yield f"{where}: fewer than {wanted}"
        elif keyword == "maxItems" and len(value) > wanted:
            yield f"{where}: more than {wanted}"
        elif keyword == "items" and isinstance(value, list):
            for place, part in enumerate(value):
                yield from faults(part, wanted, root, f"{where}[{place}]")
        elif keyword == "oneOf":
            yield from _one_of(value, wanted, root, where)
        elif keyword not in IGNORED | {"type", "enum", "const", "minimum", "maximum", "minLength", "maxLength", "minItems",
                                       "maxItems", "items", "oneOf", "properties", "required", "additionalProperties"}:
            yield f"{where}: keyword {keyword} is not known to the checker"
    if isinstance(value, dict):
        yield from _object(value, schema, root, where)
