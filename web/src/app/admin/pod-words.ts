interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

interface Container {
  readonly name: string;
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly running?: object;
    readonly terminated?: { readonly reason?: string; readonly message?: string; readonly exitCode?: number };
  };
}

/** What is read of a pod as Kubernetes writes it. */
interface Pod {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly conditions?: readonly Condition[];
    readonly initContainerStatuses?: readonly Container[];
    readonly containerStatuses?: readonly Container[];
  };
}

export interface PodSays {
  readonly of: string;
  readonly said: string;
}

/** What the cluster says of a pod: its phase, its scheduler, who disturbs it, its containers. */
export function podInWords({ spec, status = {} }: Pod): PodSays[] {
  const scheduled = status.conditions?.find(({ type }) => type === 'PodScheduled');
  const disturbed = status.conditions?.find((one) => one.type === 'DisruptionTarget' && one.status === 'True');
  const bound = spec?.nodeName ? `bound it to ${spec.nodeName}` : 'has not looked at it yet';
  return [
    { of: 'Phase', said: joined([status.phase, status.reason].filter(Boolean).join(', '), status.message) },
    { of: 'Scheduler', said: scheduled && scheduled.status !== 'True' ? joined(scheduled.reason, scheduled.message) : bound },
    { of: 'Disruption', said: joined(disturbed?.reason, disturbed?.message) },
    ...[...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])].map((one) => ({ of: `Container ${one.name}`, said: containerInWords(one) })),
  ].filter(({ said }) => said);
}

function containerInWords({ state }: Container): string {
  if (state?.waiting) return joined(state.waiting.reason ?? 'waits', state.waiting.message);
  if (state?.running) return 'runs';
  if (!state?.terminated) return '';
  const { reason, message, exitCode } = state.terminated;
  return joined([reason ?? 'ended', exitCode == null ? '' : `exit code ${exitCode}`].filter(Boolean).join(', '), message);
}

function joined(word: string | undefined, more: string | undefined): string {
  return [word, more?.trim()].filter(Boolean).join(': ');
}
