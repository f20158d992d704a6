import { Keeper, type Live, type Message, type State, type World } from './keeper';

const ada = { state: 'live', principal: { id: 'ada', kind: 'account', name: 'ada' }, permissions: [] } as unknown as Live;
const bob = { ...ada, principal: { id: 'bob', kind: 'account', name: 'bob' } } as Live;
const nobody = { ...ada, principal: { id: 'n', kind: 'anonymous' } } as Live;

/** A browser: tabs that share a lock and hear each other, and a hub that answers what a test says. */
class Browser {
  answers: (() => Promise<unknown>)[] = [];
  asked = 0;
  tabs: { keeper: Keeper; states: State[]; startedOver: number; as: Live | null }[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  tab(cached: Live | null = ada) {
    const tab = { states: [] as State[], startedOver: 0, as: null } as unknown as (typeof this.tabs)[number];
    const world: World = {
      renew: () => {
        const answer = this.answers[Math.min(this.asked++, this.answers.length - 1)];
        return answer ? answer() : Promise.reject(new Error('no answer'));
      },
      lock: (work) => {
        const turn = this.#turn.then(work);
        this.#turn = turn.catch(() => {});
        return turn;
      },
      tell: (message: Message) => this.tabs.filter((other) => other !== tab).forEach((other) => other.keeper.hear(message, true)),
      rest: () => new Promise((resolve) => setTimeout(resolve, 1)),
      changed: (state) => tab.states.push(state),
      startOver: (live) => {
        tab.startedOver++;
        tab.as = live;
      },
    };
    tab.keeper = new Keeper(world, cached);
    this.tabs.push(tab);
    return tab;
  }
}

const live = (who = ada) => () => Promise.resolve(who as unknown);
const ended = (reason: string) => () => Promise.resolve({ state: 'ended', reason });
const lost = () => Promise.reject(new TypeError('Failed to fetch'));
const page = () => Promise.resolve('<html>Sign in to the hotel</html>');

/** A call that is refused until the session was renewed so often. */
function call(browser: Browser, refusals = 1) {
  let calls = 0;
  return () => Promise.resolve(new Response(null, { status: browser.asked >= refusals && calls++ > 0 ? 200 : (calls++, 401) }));
}

test('five calls that are refused together ask once', async () => {
  const browser = new Browser();
  browser.answers = [live()];
  const { keeper } = browser.tab();
  const answers = await Promise.all(Array.from({ length: 5 }, () => keeper.send(call(browser))));
  expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200, 200, 200]);
  expect(browser.asked).toBe(1);
});

test('twenty tabs that wake up ask once', async () => {
  const browser = new Browser();
  browser.answers = [live()];
  const tabs = Array.from({ length: 20 }, () => browser.tab());
  expect(await Promise.all(tabs.map((tab) => tab.keeper.renew()))).toEqual(Array(20).fill(true));
  expect(browser.asked).toBe(1);
});

test('a refusal that is older than what was heard asks nobody', async () => {
  const browser = new Browser();
  browser.answers = [live()];
  const { keeper } = browser.tab();
  let answered: (response: Response) => void = () => {};
  let calls = 0;
  const slow = keeper.send(() => (calls++ === 0 ? new Promise((resolve) => (answered = resolve)) : Promise.resolve(new Response(null, { status: 200 }))));
  await keeper.renew();
  answered(new Response(null, { status: 401 }));
  expect((await slow).status).toBe(200);
  expect(browser.asked).toBe(1);
});

test.each([
  ['no network', lost],
  ["a portal's page", page],
  ['an error', () => Promise.resolve(undefined)],
])('%s ends nothing: the name stays, and it is tried again', async (_, fault) => {
  const browser = new Browser();
  browser.answers = [fault, fault, live()];
  const tab = browser.tab();
  expect(await tab.keeper.renew()).toBe(false);
  expect(tab.keeper.state).toEqual({ live: ada, ended: null, reachable: false });
  await vi.waitFor(() => expect(tab.keeper.state.reachable).toBe(true));
  expect(tab.states.every((state) => state.live === ada && state.ended === null)).toBe(true);
});

test('only the word of the hub ends it, in all tabs, and the name stays', async () => {
  const browser = new Browser();
  browser.answers = [ended('idle')];
  const [one, two] = [browser.tab(), browser.tab()];
  await one.keeper.renew();
  for (const tab of [one, two]) expect(tab.keeper.state).toEqual({ live: ada, ended: 'idle', reachable: true });
});

test('what was refused goes on when the same person signed in again', async () => {
  const browser = new Browser();
  browser.answers = [ended('lifetime')];
  const { keeper, startedOver } = browser.tab();
  let signedIn = false;
  const waiting = keeper.send(() => Promise.resolve(new Response(null, { status: signedIn ? 200 : 401 })));
  await vi.waitFor(() => expect(keeper.state.ended).toBe('lifetime'));
  signedIn = true;
  keeper.hear({ live: ada });
  expect((await waiting).status).toBe(200);
  expect(startedOver).toBe(0);
});

test('somebody else starts the other tabs over', () => {
  const browser = new Browser();
  const [one, two] = [browser.tab(), browser.tab()];
  one.keeper.hear({ live: bob });
  expect([one.startedOver, two.startedOver]).toEqual([1, 1]);
  // Whom it remembers is who signed in: else it would start over again and again.
  expect([one.as, two.as]).toEqual([bob, bob]);
});

test('an anonymous session becomes an account without starting over', () => {
  const browser = new Browser();
  const tab = browser.tab(nobody);
  tab.keeper.hear({ live: ada });
  expect(tab.startedOver).toBe(0);
  expect(tab.keeper.state.live).toBe(ada);
});

test('whoever has no account is not told that a session ended', async () => {
  const browser = new Browser();
  browser.answers = [ended('signed-out')];
  const tab = browser.tab(nobody);
  await tab.keeper.renew();
  expect(tab.keeper.state).toEqual({ live: null, ended: null, reachable: true });
});

test('signing out is heard everywhere', () => {
  const browser = new Browser();
  const [one, two] = [browser.tab(), browser.tab()];
  one.keeper.hear({ out: true });
  expect(two.keeper.state.live).toBe(null);
});

test('an answer about the session before a login changes nothing', async () => {
  const browser = new Browser();
  let answered: (answer: unknown) => void = () => {};
  browser.answers = [() => new Promise((resolve) => (answered = resolve))];
  const { keeper } = browser.tab(nobody);
  const renewed = keeper.renew();
  await Promise.resolve();
  keeper.hear({ live: ada });
  answered({ state: 'ended', reason: 'signed-out' });
  expect(await renewed).toBe(true);
  expect(keeper.state).toEqual({ live: ada, ended: null, reachable: true });
});
