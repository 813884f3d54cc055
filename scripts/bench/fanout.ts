// Fan-out and paced sends: acknowledged sends and deliveries a second and their times, beside the ceiling and a rival.
import { parseArgs } from 'node:util';
import type { LoadResult } from './load.ts';
import { machine, makeFolder, median, printTable, runLoad, startTarget } from './run.ts';
import type { TargetName } from './targets.ts';

const { values } = parseArgs({
  options: {
    members: { type: 'string', default: '10,100,1000' },
    targets: { type: 'string', default: 'raw,ours,socketio' },
    runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    pace: { type: 'string' },
  },
});
const targets = values.targets.split(',') as TargetName[];
const pace = values.pace ? Number(values.pace) : null;
const folder = makeFolder();

console.log(`${machine()}; ${values.runs} runs of ${values.seconds} s, medians\n`);
const rows: (string | number)[][] = [];
for (const members of values.members.split(',').map(Number)) {
  const results = new Map<TargetName, LoadResult[]>(targets.map((target) => [target, []]));
  for (let run = 0; run < Number(values.runs); run += 1) {
    for (const target of targets) results.get(target)?.push(await runOnce(target, members));
  }
  rows.push(...targets.map((target) => row(members, target, results)));
}
folder.remove();
printTable(
  [
    'members',
    'server',
    'acked/s',
    'to raw',
    'to rival',
    'delivered/s',
    'ack p50',
    'p99 ms',
    'delivery p50',
    'p99 ms',
    'lost',
    'disordered',
    'load CPU',
  ],
  rows,
);
process.exit(0);

async function runOnce(target: TargetName, members: number): Promise<LoadResult> {
  const server = await startTarget(target, folder.path, members);
  const result = await runLoad({
    target,
    url: server.url,
    users: server.users,
    members,
    senders: 10,
    inFlight: 10,
    pace,
    warmUpMs: 1500,
    measureMs: Number(values.seconds) * 1000,
  });
  await server.stop();
  return result;
}

function row(
  members: number,
  target: TargetName,
  results: Map<TargetName, LoadResult[]>,
): (string | number)[] {
  const of = (name: TargetName, field: keyof LoadResult) =>
    median((results.get(name) ?? []).map((one) => one[field]));
  const acked = of(target, 'acksPerSecond');
  const worst = (field: 'lost' | 'disordered') =>
    Math.max(...(results.get(target) ?? []).map((one) => one[field]));
  return [
    members,
    target,
    acked.toFixed(0),
    ratio(acked / of('raw', 'acksPerSecond'), 2),
    ratio(acked / of('socketio', 'acksPerSecond'), 1),
    of(target, 'deliveriesPerSecond').toFixed(0),
    of(target, 'ackP50Ms').toFixed(2),
    of(target, 'ackP99Ms').toFixed(2),
    of(target, 'deliveryP50Ms').toFixed(2),
    of(target, 'deliveryP99Ms').toFixed(2),
    worst('lost'),
    worst('disordered'),
    of(target, 'loadCpu').toFixed(2),
  ];
}

/** A target that was left out has no ratio to it. */
function ratio(value: number, digits: number): string {
  return Number.isNaN(value) ? '-' : value.toFixed(digits);
}
