"""Holds answers of the API to its description.

    check_answers.py ANSWERS UNANSWERED DESCRIPTION...

ANSWERS has a line of JSON for each: {"method", "path", "status", "body"}. The descriptions are
OpenAPI 3.0. Lines of UNANSWERED name what is described and cannot be answered: "GET /path 422".
Prints what is wrong, what of the descriptions was never answered, and what was although it cannot;
exits with 1 if anything is.
"""
import json
import re
import sys

from jsonschema import Draft4Validator, FormatChecker

formats = FormatChecker(formats=())
patterns = {
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "date": r"\d{4}-\d\d-\d\d",
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "uri": r"https?://[^\s/]+/\S*",
}
for name, pattern in patterns.items():
    formats.checks(name)(
        lambda value, pattern=pattern: not isinstance(value, str)
        or re.fullmatch(pattern, value) is not None)


def nullable(schema):
    """The service's framework writes optional fields down without saying that they may be null."""
    if isinstance(schema, list):
        return [nullable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: nullable(value) for key, value in schema.items()}
    for name, field in schema.get("properties", {}).items():
        if isinstance(field, dict) and name not in schema.get("required", []):
            schema["properties"][name] = {"anyOf": [{"type": "null"}, field]}
    return schema


def template(path):
    return re.compile(re.sub(r"\\{\w+\\}", r"[^/]+", re.escape(path.rstrip("/"))) + "/?")


operations, shapes = {}, {}
for file in sys.argv[3:]:
    with open(file) as opened:
        description = json.load(opened)
    shapes.update(description["components"]["schemas"])
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            operations[method.upper(), path] = {
                int(status): answer["content"]["application/json"]["schema"]
                for status, answer in operation["responses"].items()}

wrong = []
left = {(*operation, status) for operation, answers in operations.items() for status in answers}
count = 0
with open(sys.argv[1]) as answers:
    for line in answers:
        answer = json.loads(line)
        method, status = answer["method"], answer["status"]
        path = answer["path"].split("?")[0].replace("%2F", "/")
        place = f"{method} {answer['path']} {status}"
        found = [p for m, p in operations if m == method and template(p).fullmatch(path)]
        if not found:
            wrong.append(f"{place}: no such operation")
            continue
        schema = operations[method, found[0]].get(status)
        left.discard((method, found[0], status))
        if schema is None:  # not described: the shape all such errors have
            name = {401: "CustomError", 422: "HTTPValidationError"}.get(status, "DjangoApiError")
            if status < 400:
                wrong.append(f"{place}: no such answer is described")
                continue
            schema = shapes[name]
        count += 1
        validator = Draft4Validator(nullable(schema), format_checker=formats)
        for error in validator.iter_errors(answer["body"]):
            wrong.append(f"{place}: {'/'.join(map(str, error.path))}: {error.message}")

with open(sys.argv[2]) as file:
    expected = {line.strip() for line in file if line.strip()}
left = {f"{method} {path} {status}" for method, path, status in left}
wrong += [f"never answered: {one}" for one in sorted(left - expected)]
wrong += [f"answered, or not described at all: {one}" for one in sorted(expected - left)]
for problem in wrong:
    print(problem)
print(f"{count} answers checked", file=sys.stderr)
sys.exit(bool(wrong or not count))
