/** A place of the app: an entry of the sidebar and the palette, a route, and who may go there. */
export interface Entry {
  readonly path: string;
  readonly label: string;
  readonly icon: string;
  /** The permissions of which it takes one; nothing for everybody. */
  readonly need?: readonly string[];
  /** In the bar at the bottom of a phone. */
  readonly tab?: string;
  /** `g` and this key go there. */
  readonly key?: string;
}

const ADMIN = ['ADMIN'];

/** The one table: the sidebar, the guards, the palette and the tests read it. */
export const ENTRIES: readonly Entry[] = [
  { path: '', label: 'Models', icon: 'models', tab: 'Models', key: 'm' },
  { path: 'requests', label: 'My requests', icon: 'requests', tab: 'Requests', key: 'r' },
  { path: 'admin/statistics', label: 'Statistics', icon: 'stats', need: ADMIN, tab: 'Statistics', key: 's' },
  { path: 'admin/requests', label: 'Requests', icon: 'inbox', need: ADMIN, key: 'a' },
  { path: 'admin/instances', label: 'Instances', icon: 'instances', need: ADMIN, tab: 'Instances', key: 'i' },
  { path: 'admin/history', label: 'History', icon: 'history', need: ADMIN, key: 'h' },
  { path: 'admin/nodes', label: 'Nodes', icon: 'nodes', need: ADMIN, key: 'n' },
  { path: 'admin/catalogue', label: 'Catalogue', icon: 'catalogue', need: ['MODEL_EDITOR', 'ADMIN'], key: 'c' },
  { path: 'admin/users', label: 'Users', icon: 'users', need: ADMIN, key: 'u' },
  { path: 'admin/audit', label: 'Audit', icon: 'audit', need: ADMIN, key: 'l' },
  { path: 'admin/health', label: 'Health', icon: 'health', need: ADMIN, key: 'e' },
];

/** The entry that an address lies in. */
export function entryAt(url: string): Entry | undefined {
  const path = url.replace(/[?#].*/, '');
  return ENTRIES.find((one) => one.path && (path === `/${one.path}` || path.startsWith(`/${one.path}/`)));
}

export function entry(path: string): Entry {
  const found = ENTRIES.find((one) => one.path === path);
  if (!found) throw new Error(`${path} is not in the table of entries`);
  return found;
}
