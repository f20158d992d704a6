// All of OpenChemLib comes with its editor: this file alone imports it, and is loaded when somebody draws.
import { CanvasEditor, Molecule } from 'openchemlib';

/** The editor's own canvases have no styles: they stand in its shadow, where the page's do not reach. */
const STYLES = `
  div { min-width: 0; overflow: hidden; }
  canvas { display: block; }
  :host > canvas { flex: none; transform: scale(1.2); transform-origin: 0 0; margin-right: 10px; }
  canvas:focus-visible { outline: 2px solid #0b6b63 !important; outline-offset: -2px; }
  dialog { padding: 16px; border: 1px solid #7d8894; border-radius: 10px; font: 14px/22px system-ui, sans-serif; }
  form { gap: 8px; }
`;

/** Where a molecule is drawn. */
export class Board {
  readonly #editor: CanvasEditor;
  /** What both sides know. */
  #smiles = '';

  constructor(host: HTMLElement, drawn: (smiles: string) => void) {
    this.#editor = new CanvasEditor(host);
    const shadow = host.querySelector('[data-openchemlib-canvas-editor]')?.shadowRoot;
    if (shadow) {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLES);
      shadow.adoptedStyleSheets.push(sheet);
      const [tools, area] = shadow.querySelectorAll('canvas');
      tools?.setAttribute('aria-hidden', 'true');
      area?.setAttribute('role', 'application');
      area?.setAttribute('aria-label', 'Drawing; what is drawn stands below as SMILES, and can be typed there');
    }
    this.#editor.setOnChangeListener(({ type }) => {
      if (type !== 'molecule') return;
      const smiles = this.#now();
      if (smiles === this.#smiles) return;
      this.#smiles = smiles;
      drawn(smiles);
    });
  }

  /** A molecule with its coordinates, to go on with. */
  show(molfile: string | null): void {
    const molecule = molfile === null ? new Molecule(0, 0) : Molecule.fromMolfile(molfile);
    this.#smiles = molecule.toIsomericSmiles();
    this.#editor.setMolecule(molecule);
  }

  close(): void {
    this.#editor.destroy();
  }

  #now(): string {
    return this.#editor.getMolecule().toIsomericSmiles();
  }
}
