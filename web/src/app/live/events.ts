export interface HubEvent {
  readonly name: string;
  readonly data: string;
}

/** Reads server-sent events out of bytes, wherever the pieces are cut. */
export class Events {
  readonly #decoder = new TextDecoder();
  #rest = '';

  take(bytes: Uint8Array): HubEvent[] {
    this.#rest += this.#decoder.decode(bytes, { stream: true }).replaceAll('\r', '');
    const blocks = this.#rest.split('\n\n');
    this.#rest = blocks.pop() ?? '';
    return blocks.flatMap((block) => {
      const field = (name: string) =>
        block
          .split('\n')
          .filter((line) => line.startsWith(`${name}:`))
          .map((line) => line.slice(name.length + 1).replace(/^ /, ''))
          .join('\n');
      const name = field('event');
      return name ? [{ name, data: field('data') }] : [];
    });
  }
}
