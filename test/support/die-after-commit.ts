// Loaded into a server process before it: kills it right after the COMMIT of a message, before anybody can be told.
import { Database } from 'bun:sqlite';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** While there is a file of this name in the data folder, the next COMMIT is the last thing the process does. */
const order = join(process.env.DATA_DIR ?? '.', 'die-after-commit');

function dieIfCommit(sql: string): void {
  if (/^\s*commit\b/i.test(sql) && existsSync(order)) process.kill(process.pid, 'SIGKILL');
}

const { run, prepare } = Database.prototype;
Database.prototype.run = function (this: Database, ...args: Parameters<typeof run>) {
  const changes = run.apply(this, args);
  dieIfCommit(args[0]);
  return changes;
} as typeof run;
for (const name of ['prepare', 'query'] as const) {
  const original: typeof prepare = Database.prototype[name];
  Database.prototype[name] = function (this: Database, ...args: Parameters<typeof prepare>) {
    const statement = original.apply(this, args);
    const runStatement = statement.run.bind(statement);
    if (/^\s*commit\b/i.test(args[0])) {
      statement.run = (...values) => {
        const changes = runStatement(...values);
        dieIfCommit(args[0]);
        return changes;
      };
    }
    return statement;
  } as typeof prepare;
}
