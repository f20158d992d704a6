/** The secret behind the `#` of a mailed link. It is taken out of the address, so that nobody reads it there. */
export function takeSecret(): string {
  const secret = location.hash.slice(1);
  if (secret) history.replaceState(history.state, '', location.pathname + location.search);
  return secret;
}
