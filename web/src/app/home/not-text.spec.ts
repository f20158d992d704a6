import { whyNotText } from './not-text';

const bytes = (...all: number[]) => new Uint8Array(all);
const text = (words: string) => new TextEncoder().encode(words);

test('what is no text is named with what to do', () => {
  expect(whyNotText(text('%PDF-1.7'), 'a.csv')).toMatch(/a\.csv is a PDF/);
  expect(whyNotText(bytes(0x50, 0x4b, 3, 4), 'a.xlsx')).toMatch(/Excel.*Save the sheet as CSV/);
  expect(whyNotText(bytes(0xff, 0xfe, 0x43, 0), 'a.csv')).toMatch(/UTF-16/);
  expect(whyNotText(bytes(0x43, 0, 0x43, 0x43), 'a')).toMatch(/not a text/);
  expect(whyNotText(bytes(0xe9, 0x43, 0x43, 0x43, 0x43, 0x43), 'a.csv')).toMatch(/not UTF-8/);
  expect(whyNotText(bytes(), 'a.csv')).toBe('a.csv is empty.');
  expect(whyNotText(text('smiles\nCCO\n'), 'a.csv')).toBe(null);
  // The last character may be cut where the looked-at part ends.
  expect(whyNotText(text('naïve ü').slice(0, -1), 'a.csv')).toBe(null);
});
