import type { Api } from '../api/api';

export type Act = 'requeue' | 'front' | 'cancel';

export const DONE: { readonly [act in Act]: string } = { requeue: 'tried again', front: 'moved to the front', cancel: 'cancelled' };

/** Does something to somebody's request. */
export async function act(api: Api, act: Act, id: string, reason: string): Promise<void> {
  const path = { id };
  if (act === 'cancel') await api.post('/api/v1/admin/requests/{id}/cancel', { path, body: { reason } });
  else if (act === 'front') await api.post('/api/v1/admin/requests/{id}/front', { path });
  else await api.post('/api/v1/admin/requests/{id}/requeue', { path });
}
