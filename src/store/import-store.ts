// What the import of the old server's databases asks of the store; each old thing has an origin, by which it is taken once.
import type { NewAccount, NewSession } from './store.ts';

/** An account of the old server, mended so that it can be one here. */
export interface OldAccount {
  /** The number it had there, as its digits. */
  readonly oldUid: string;
  readonly account: NewAccount;
  readonly verified: boolean;
  /** The login it has there; null when it cannot be kept. */
  readonly session: NewSession | null;
  /** What it gets where its number or its address belong to somebody already. */
  readonly spare: { readonly uid: () => number; readonly email: () => string };
}

export interface TakenAccount {
  readonly uid: number;
  /** The address that it has here. */
  readonly email: string;
  /** Whether its login goes on. */
  readonly keepsSession: boolean;
}

export interface ImportedAccount {
  readonly oldUid: string;
  readonly uid: number;
  /** False when it was deleted here since. */
  readonly exists: boolean;
}

export interface OldMember {
  readonly uid: number;
  readonly joinedAt: number;
}

interface OldChatRows {
  readonly origin: string;
  readonly createdAt: number;
  /** Accounts that exist; the first of a group becomes its owner. */
  readonly members: readonly OldMember[];
}

export type OldChat = OldChatRows &
  (
    | {
        readonly kind: 'group';
        readonly groupId: string;
        readonly name: string;
        readonly picture: string;
        /** Gives an id to a group whose own belongs to another here. */
        readonly spareId: () => string;
      }
    | { readonly kind: 'direct'; readonly lowUid: number; readonly highUid: number }
  );

/** A chat as it is here: `made` says that it was made just now. */
export interface TakenChat {
  readonly chatId: number;
  readonly made: boolean;
  /** A group's id, null for a direct chat. */
  readonly groupId: string | null;
}

export interface OldMessage {
  readonly senderUid: number;
  readonly body: string;
  readonly sentAt: number;
}

/** Some messages of one chat in their order, and how far each old table was read for them. */
export interface OldMessages {
  readonly origin: string;
  readonly chatId: number;
  readonly messages: readonly OldMessage[];
  readonly readTo: ReadonlyMap<string, number>;
}

export interface ImportStore {
  /** The accounts that were imported so far. */
  listImportedAccounts(): Promise<ImportedAccount[]>;
  /** Makes these accounts, all or none; null for one that was deleted here. They must not have been imported before. */
  takeAccounts(accounts: readonly OldAccount[]): Promise<(TakenAccount | null)[]>;
  /**
   * Makes a chat with its members, or finds the one that an earlier import, or somebody here, has made; its members then
   * stay as they are. Null for one that was imported and is gone since.
   */
  takeChat(chat: OldChat): Promise<TakenChat | null>;
  /** Up to which message number a table was taken; 0 for none. */
  findTakenTo(table: string): Promise<number>;
  /** Appends messages after whatever the chat has, together with how far that was. */
  takeMessages(batch: OldMessages): Promise<void>;
  /** All of a chat is taken: who had read all there was before has read what came with the import. */
  finishChat(origin: string, chatId: number): Promise<void>;
}
