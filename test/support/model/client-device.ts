// A device of the model on which the client library runs.
import { ChatClient, SendError } from '../../../src/client/client.ts';
import type { Line } from '../line.ts';
import type { Person } from '../people.ts';
import type { Device, Sending } from './device.ts';
import { Follower } from './follower.ts';

export class ClientDevice implements Device {
  readonly follower: Follower;
  readonly sendings: Sending[] = [];
  readonly overtaken = [];
  readonly #client: ChatClient;

  constructor(
    readonly person: Person,
    readonly line: Line,
    clientId: string,
  ) {
    const follower = new Follower(`${person.name}'s client ${clientId}`, true);
    this.follower = follower;
    this.#client = new ChatClient({ url: line.url, uid: person.uid, token: person.token, clientId });
    this.#client.on('message', ({ groupId, id, senderUid, message: text }) =>
      follower.message({ groupId, id, senderUid, text }),
    );
    this.#client.on('chats', (chats) => follower.listed(chats));
    this.#client.on('changed', (event, { GROUP_ID, REMOVED, LAST_MESSAGE_ID }) => {
      if (event !== 'chat_changed') return;
      if (REMOVED) follower.removed(String(GROUP_ID));
      else follower.joined(String(GROUP_ID), Number(LAST_MESSAGE_ID));
    });
    this.#client.on('reset', () => follower.complain('a reset'));
    this.#client.connect();
  }

  get ready(): boolean {
    return this.#client.state === 'online';
  }

  send(groupId: string, text: string, newChat: boolean): void {
    const sending: Sending = { uid: this.person.uid, groupId, text, acknowledged: [], refused: null };
    this.sendings.push(sending);
    this.#client.send(groupId, text, { newChat }).then(
      ({ id }) => sending.acknowledged.push(id),
      (error) => {
        sending.refused = error instanceof SendError ? error.status : -1;
      },
    );
  }

  /** The library retries by itself. */
  retry(): void {}

  /** It has no goodbye after which it comes back. */
  hangUp(): void {
    this.line.cut('end');
  }

  close(): void {
    this.#client.close();
    this.line.close();
  }
}
