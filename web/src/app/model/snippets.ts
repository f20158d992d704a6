/** What a request is as a command or a script: ready to be pasted into a terminal. */
export interface Wanted {
  readonly hub: string;
  readonly model: string;
  readonly inputs: readonly string[];
  /** The name of the chosen file, and how it is to be read. */
  readonly file: { name: string; contentType: string; query: string } | null;
}

export type Language = 'curl' | 'python' | 'muster';

export const LANGUAGES: readonly { id: Language; label: string }[] = [
  { id: 'curl', label: 'curl' },
  { id: 'python', label: 'Python' },
  { id: 'muster', label: 'command line' },
];

/** More inputs than these stand better in a file. */
const SHOWN = 20;

export function snippet(language: Language, wanted: Wanted): string {
  return { curl, python, muster }[language](wanted);
}

function body({ model, inputs }: Wanted): string {
  return JSON.stringify({ model, inputs: inputs.slice(0, SHOWN) });
}

/** In single quotes, as a shell reads it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function curl(wanted: Wanted): string {
  const { hub, model, file } = wanted;
  const start = `hub=${hub}
token=$(curl -s -X POST $hub/api/v1/sessions | python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])')
`;
  if (!file) {
    return `${start}
curl -s "$hub/api/v1/requests?wait=30" -H "Authorization: Bearer $token" \\
     -H 'Content-Type: application/json' -d ${quoted(body(wanted))}
`;
  }
  return `${start}
curl -s "$hub/api/v1/requests?model=${model}${file.query}" -H "Authorization: Bearer $token" \\
     -H 'Content-Type: ${file.contentType}' --data-binary @${quoted(file.name)}
curl -s "$hub/api/v1/requests/ID?wait=60" -H "Authorization: Bearer $token"
curl -s "$hub/api/v1/requests/ID/result?format=csv" -H "Authorization: Bearer $token" -o out.csv
`;
}

function python(wanted: Wanted): string {
  const { hub, model, file } = wanted;
  const payload = file ? `open(${JSON.stringify(file.name)}, "rb").read()` : `json.dumps(${body(wanted)}).encode()`;
  const path = file ? `requests?model=${model}${file.query}` : 'requests';
  const type = file ? file.contentType : 'application/json';
  return `import json
from urllib.request import Request, urlopen

hub = ${JSON.stringify(hub)}
headers = {}

def call(path, data=None, kind="application/json"):
    request = Request(f"{hub}/api/v1/{path}", data=data, headers={**headers, "Content-Type": kind})
    return urlopen(request).read()

session = json.loads(call("sessions", b"{}"))
headers["Authorization"] = "Bearer " + session["token"]
request = json.loads(call(${JSON.stringify(path)}, ${payload}, ${JSON.stringify(type)}))
while request["phase"] in ("waiting", "running"):
    request = json.loads(call(f"requests/{request['id']}?wait=60"))
print(call(f"requests/{request['id']}/result?format=csv").decode())
`;
}

function muster({ hub, model, inputs, file }: Wanted): string {
  const what = file ? quoted(file.name) : inputs.slice(0, SHOWN).map((input) => `--input ${quoted(input)}`).join(' ');
  return `export MUSTER_HUB=${hub}
muster run ${model} ${what}${file ? ' -o out.csv' : ''}
`;
}
