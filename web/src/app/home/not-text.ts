/** What the hub would say of it, before it is sent. */
export function whyNotText(bytes: Uint8Array, name: string): string | null {
  const begins = (...signature: number[]) => signature.every((byte, at) => bytes[at] === byte);
  if (bytes.length === 0) return `${name} is empty.`;
  if (begins(0x25, 0x50, 0x44, 0x46)) return `${name} is a PDF. Copy the SMILES out of it, or save the table as CSV.`;
  if (begins(0x50, 0x4b, 0x03, 0x04)) return `${name} is a ZIP or an Excel file. Save the sheet as CSV (UTF-8).`;
  if (begins(0xff, 0xfe) || begins(0xfe, 0xff)) return `${name} is UTF-16. Save it as UTF-8.`;
  if (bytes.subarray(0, 8192).includes(0)) return `${name} is not a text. CSV, TSV or one input a line is what models read.`;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, bytes.length - 4));
  } catch {
    return `${name} is not UTF-8. Save it as UTF-8.`;
  }
  return null;
}
