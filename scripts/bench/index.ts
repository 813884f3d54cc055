// The benchmarks' command: runs those that are named, or all, one after the other.
import { backup } from './backup.ts';
import { fanout } from './fanout.ts';
import { flood } from './flood.ts';
import { growth } from './growth.ts';
import { history } from './history.ts';
import { idle } from './idle.ts';
import { type Options, readOptions, usage } from './options.ts';
import { paced } from './paced.ts';
import { restore } from './restore.ts';
import { leaveNothingBehind } from './run.ts';
import { storm } from './storm.ts';

const benchmarks: Record<string, { meaning: string; run: (options: Options) => Promise<void> }> = {
  fanout: { meaning: 'acknowledged sends a second, to a bare server and to Socket.IO', run: fanout },
  paced: { meaning: 'times of acknowledgements and deliveries below saturation', run: paced },
  idle: { meaning: 'memory of a socket that only listens', run: idle },
  history: { meaning: 'reads, cold start and memory with few and many messages', run: history },
  backup: {
    meaning: 'snapshot and push beside people who chat, and a day of them at the remote',
    run: backup,
  },
  restore: { meaning: 'from a backup repository to a server that answers, step by step', run: restore },
  storm: { meaning: 'all sockets back at once after a stop and a kill, nothing missed', run: storm },
  flood: { meaning: 'ten people who chat beside 200 flooding sockets, and 500 logins at once', run: flood },
  growth: { meaning: 'memory and files over many messages and many who come and go', run: growth },
};

async function main(args: string[]): Promise<number> {
  const asked = readOptions(args);
  const unknown = asked?.names.find((name) => !Object.hasOwn(benchmarks, name));
  if (!asked || unknown) {
    const lines = Object.entries(benchmarks).map(
      ([name, { meaning }]) => `  ${name.padEnd(25)} ${meaning}\n`,
    );
    console.log(`${unknown ? `There is no "${unknown}".\n\n` : ''}bench [name...] [options]\n`);
    console.log(`${lines.join('')}\n${usage}`);
    return unknown ? 2 : 0;
  }
  leaveNothingBehind();
  for (const [name, { run }] of Object.entries(benchmarks)) {
    if (asked.names.length > 0 && !asked.names.includes(name)) continue;
    const begun = performance.now();
    await run(asked.options);
    console.log(`\n${name} took ${((performance.now() - begun) / 1000).toFixed(0)} s.`);
  }
  return 0;
}

if (import.meta.main) {
  main(process.argv.slice(2)).then(
    (status) => process.exit(status),
    (error: unknown) => {
      console.error(error instanceof Error ? error.message : error);
      process.exit(1);
    },
  );
}
