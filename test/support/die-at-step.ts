// Loaded into a process before the program: kills it right before one of its changes to the file system, by their count.
import { mock } from 'bun:test';
import * as fs from 'node:fs';

/** The how manieth change is the one that does not happen, from 1. */
const deadly = Number(process.env.DIE_AT_STEP);
let count = 0;

const changes = ['renameSync', 'mkdirSync', 'rmSync', 'rmdirSync', 'copyFileSync', 'writeFileSync'] as const;
const real = { ...fs };
const deadlyOnes = changes.map((name) => {
  const change = real[name] as (...args: unknown[]) => unknown;
  const counted = (...args: unknown[]): unknown => {
    count += 1;
    if (count === deadly) process.kill(process.pid, 'SIGKILL');
    return change(...args);
  };
  return [name, counted] as const;
});

mock.module('node:fs', () => ({ ...real, ...Object.fromEntries(deadlyOnes) }));
