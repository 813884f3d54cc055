// Frames to single sockets: what has a hole must not go on, and those of one commit go out in one write per socket.
import type { Socket } from './connection.ts';
import { socketLimits } from './limits.ts';

/** Sends frames in as few writes as may be. Who is too slow is closed: a hole must be a disconnect, never a skip. */
export function push(socket: Socket, frames: readonly string[]): void {
  socket.cork(() => {
    for (const frame of frames) {
      if (socket.getBufferedAmount() > socketLimits.backpressureBytes) return socket.terminate();
      socket.send(frame);
    }
  });
}

/** Collects the frames of a turn; a write for each is what the hot path would spend most of its time on. */
export class Replies {
  readonly #waiting = new Map<Socket, string[]>();

  /** Keeps a frame for this socket until `flush`, or until the current turn's work is done. */
  add(socket: Socket, frame: string): void {
    if (this.#waiting.size === 0) queueMicrotask(() => this.flush());
    const frames = this.#waiting.get(socket);
    if (frames) frames.push(frame);
    else this.#waiting.set(socket, [frame]);
  }

  /** Sends what waits; to be called before anything is published or closed, so that all comes in its order. */
  flush(): void {
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const [socket, frames] of waiting) push(socket, frames);
  }
}
