/** The name of the page's first script: it changes with every build. */
export function buildOf(page: string): string | undefined {
  return /src="\/?(main-[\w-]+\.js)"/.exec(page)?.[1];
}
