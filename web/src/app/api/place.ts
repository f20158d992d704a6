/** An address below where the hub is: at the root of its host, or below a path that a proxy puts before it. */
export function absolute(address: string): string {
  return new URL(address, document.baseURI).href;
}

/** Storage, channels and locks belong to a host, and so to all hubs on it: each has names of its own. */
export function ownName(name: string): string {
  const { pathname } = new URL(document.baseURI);
  return pathname === '/' ? name : `${name} ${pathname}`;
}
