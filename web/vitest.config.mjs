import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['src/**/*.spec.ts'], environment: 'node', globals: true, pool: 'threads', maxWorkers: 2, isolate: false },
});
