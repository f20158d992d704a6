"""What a client of the old HTTP API would no longer find in the new one."""

VERBS = ("get", "put", "post", "delete", "patch", "head", "options")


def breaking(old, new):
    """By what changed: `GET /path` or `Schema.field`, and how. New words of an answer's enumeration break nobody."""
    found = Comparison(old, new)
    for path, verbs in old["paths"].items():
        for verb, operation in verbs.items():
            if verb in VERBS:
                found.operation(f"{verb.upper()} {path}", operation, new["paths"].get(path, {}).get(verb))
    return found.changes


class Comparison:
    def __init__(self, old, new):
        self.documents = (old, new)
        self.changes = {}
        self.seen = set()

    def say(self, where, what):
        self.changes.setdefault(where, what)

    def operation(self, where, old, new):
        if new is None:
            return self.say(where, "is gone")
        before, after = parameters(old), parameters(new)
        for key, one in before.items():
            if key not in after:
                self.say(where, f"takes no {key[1]} in its {key[0]}")
            else:
                self.schema(where, one.get("schema", {}), after[key].get("schema", {}), sent=True)
        for key, one in after.items():
            if one.get("required") and not before.get(key, {}).get("required"):
                self.say(where, f"asks for {key[1]} in its {key[0]}")
        body, now = old.get("requestBody", {}), new.get("requestBody", {})
        if now.get("required") and not body.get("required"):
            self.say(where, "asks for a body")
        self.contents(where, body, now, sent=True)
        for status, answer in old["responses"].items():
            if not status.startswith("2"):
                continue
            if status not in new["responses"]:
                self.say(where, f"never answers {status}")
            else:
                self.contents(where, answer, new["responses"][status], sent=False)

    def contents(self, where, old, new, sent):
        for kind, one in old.get("content", {}).items():
            if kind not in new.get("content", {}):
                self.say(where, f"{'takes' if sent else 'gives'} no {kind}")
            else:
                self.schema(where, one.get("schema", {}), new["content"][kind].get("schema", {}), sent)

    def schema(self, where, old, new, sent):
        names = old.get("$ref"), new.get("$ref")
        if names[0]:
            where = names[0].rpartition("/")[2]
            if (*names, sent) in self.seen:
                return
            self.seen.add((*names, sent))
        before, after = variants(old, self.documents[0]), variants(new, self.documents[1])
        # What is sent may become more, what comes back may become less; `null` is a kind too.
        less, more = (before, after) if sent else (after, before)
        anything = not more or any(one.get("type") is None and not one["fields"] for one in more.values())
        for kind in less:
            if kind not in more and not anything:
                self.say(where, f"{'may not be' if sent else 'may be'} {kind}")
        for kind in before.keys() & after.keys():
            self.variant(where, before[kind], after[kind], sent)

    def variant(self, where, old, new, sent):
        if old.get("format") != new.get("format") and new.get("format"):
            self.say(where, f"was {old.get('format') or old['type']}, is {new['format']}")
        if sent and new.get("enum") and not set(old.get("enum", ())) <= set(new["enum"]):
            self.say(where, f"takes no {', '.join(sorted(map(str, set(old.get('enum', ())) - set(new['enum']))))}")
        for name, (one, is_required, owner) in old["fields"].items():
            at = f"{owner or where}.{name}"
            if name not in new["fields"]:
                self.say(at, "is gone")
                continue
            other, still, _ = new["fields"][name]
            if not sent and is_required and not still:
                self.say(at, "may be absent")
            if sent and still and not is_required:
                self.say(at, "is asked for")
            self.schema(at, one, other, sent)
        for name, (_, is_required, owner) in new["fields"].items():
            if sent and is_required and name not in old["fields"]:
                self.say(f"{owner or where}.{name}", "is asked for")
        for key in ("items", "additionalProperties"):
            if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
                self.schema(where, old[key], new[key], sent)


def parameters(operation):
    return {(one["in"], one["name"]): one for one in operation.get("parameters", ())}


def resolved(schema, document):
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def variants(schema, document):
    """What a value may be, by type; objects of several kinds by the word that tells them apart."""
    schema = resolved(schema, document)
    found = {}
    for one in schema.get("oneOf") or schema.get("anyOf") or [schema]:
        if one is not schema and ("oneOf" in resolved(one, document) or "anyOf" in resolved(one, document)):
            found.update(variants(one, document))
            continue
        one = resolved(one, document)
        fields = fields_of(one, document)
        kinds = one.get("type") or ("object" if fields else None)
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            words = [field["enum"][0] for field, _, _ in fields.values() if len(field.get("enum", ())) == 1]
            name = " ".join([str(kind), *words]) if kind == "object" else str(kind)
            if kind is None and not one:
                continue
            found[name] = {**one, "type": kind, "fields": fields if kind == "object" else {}}
    return found


def fields_of(schema, document, owner=None):
    """By name: its schema, whether it is always there, and the named schema that it comes from, if that is another."""
    schema = resolved(schema, document)
    required = schema.get("required", ())
    fields = {name: (one, name in required, owner) for name, one in schema.get("properties", {}).items()}
    for part in schema.get("allOf", ()):
        fields.update(fields_of(part, document, part.get("$ref", "").rpartition("/")[2] or owner))
    return fields
