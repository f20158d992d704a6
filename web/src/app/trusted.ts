/** A worker of the build, at its hashed name. */
const OWN_WORKER = /^worker-[a-z]+-[A-Z0-9]{8}\.js$/;

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): unknown;
}

/**
 * The page's policy lets no text become script. The one exception are our own workers: browsers
 * ask the policy `default` when one is made from its URL.
 */
export function letOwnWorkersPass(): void {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  trustedTypes?.createPolicy('default', {
    createScriptURL(url) {
      if (OWN_WORKER.test(url)) return url;
      throw new TypeError(`${url} is not a worker of this app`);
    },
  });
}
