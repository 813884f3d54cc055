// What Linux says of a process: the memory it has and the time it has run. NaN where there is no /proc.
import { readFileSync } from 'node:fs';

/** Ticks a second in /proc/<pid>/stat; 100 on every Linux there is. */
const ticksPerSecond = 100;

export interface Memory {
  readonly rssKiB: number;
  /** What would be free if the process ended: not shared, and written to. */
  readonly privateDirtyKiB: number;
}

/** @see proc_pid_status(5), proc_pid_smaps(5) */
export function memoryOf(pid: number): Memory {
  return {
    rssKiB: kiB(read(`/proc/${pid}/status`), 'VmRSS'),
    privateDirtyKiB: kiB(read(`/proc/${pid}/smaps_rollup`), 'Private_Dirty'),
  };
}

/** Seconds of processor time, of all threads. @see proc_pid_stat(5) */
export function cpuSecondsOf(pid: number): number {
  const fields = read(`/proc/${pid}/stat`).split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11] ?? Number.NaN) + Number(fields[12] ?? Number.NaN)) / ticksPerSecond;
}

function kiB(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // another system, or the process is gone
  }
}
