// A PostgreSQL of a test's own, as several hubs share one.
import { execFileSync, spawn } from 'node:child_process';
import { chownSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { freePort } from './world.mjs';

export class Postgres {
  static async start() {
    const one = new Postgres();
    one.folder = mkdtempSync(join(tmpdir(), 'muster-web-pg-'));
    const found = globSync('/usr/lib/postgresql/*/bin/postgres').sort().at(-1);
    const bin = found ? `${dirname(found)}/` : '';
    // It does not run as root: there it is the user's that its package made.
    const who = process.getuid() === 0 ? { uid: Number(execFileSync('id', ['-u', 'postgres'])), gid: Number(execFileSync('id', ['-g', 'postgres'])) } : {};
    if (who.uid) chownSync(one.folder, who.uid, who.gid);
    const data = join(one.folder, 'data');
    const port = await freePort();
    one.url = `postgres://muster@127.0.0.1:${port}/postgres`;
    try {
      execFileSync(`${bin}initdb`, ['-D', data, '-U', 'muster', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync'], { ...who, cwd: one.folder, stdio: 'ignore' });
      one.process = spawn(`${bin}postgres`, ['-D', data, '-p', String(port), '-k', one.folder, '-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off'], { ...who, cwd: one.folder, stdio: 'ignore' });
      const answers = () => new Promise((done) => connect(port, '127.0.0.1', function () { this.destroy(); done(true); }).on('error', () => done(false)));
      while (!(await answers())) {
        if (one.process.exitCode !== null) throw new Error('PostgreSQL does not start');
        await new Promise((done) => setTimeout(done, 50));
      }
    } catch (error) {
      await one.stop();
      throw error;
    }
    return one;
  }

  async stop() {
    if (this.process && this.process.exitCode === null) {
      const gone = new Promise((done) => this.process.once('exit', done));
      this.process.kill('SIGINT');
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
