// Seals and opens the files of a snapshot: compressed, then encrypted so that the same file sealed twice is the same.
import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync } from 'node:crypto';
import { BackupError } from './error.ts';

export interface Sealer {
  /** Says which key this is, and nothing about it. */
  readonly keyId: string;
  /** @param name the file's place in the snapshot, which is authenticated: files cannot be exchanged */
  seal(name: string, clear: Uint8Array): Uint8Array;
  /** @throws BackupError when the bytes were not sealed as this file with this key */
  open(name: string, sealed: Uint8Array): Uint8Array;
}

export const cipher = 'AES-256-GCM';
const magic = Buffer.from('CBS1');
const nonceBytes = 12;
const tagBytes = 16;

/**
 * The nonce is a keyed hash of name and content. So equal files become equal bytes, which git keeps once, and the nonce
 * repeats only where the whole message does: all that shows is that two files are the same.
 * @see https://www.rfc-editor.org/rfc/rfc5297 the idea (synthetic initialization vectors)
 * @see https://www.rfc-editor.org/rfc/rfc5869 HKDF
 * @param key 32 bytes
 */
export function createSealer(key: Uint8Array): Sealer {
  const cipherKey = subkey(key, 'cipher');
  const nonceKey = subkey(key, 'nonce');
  return {
    keyId: createHash('sha256').update('chat-backup key id\0').update(key).digest('hex').slice(0, 16),
    seal(name, clear) {
      const packed = Bun.zstdCompressSync(clear);
      const context = contextOf(name);
      const nonce = createHmac('sha256', nonceKey).update(context).update(packed).digest();
      const encryption = createCipheriv('aes-256-gcm', cipherKey, nonce.subarray(0, nonceBytes));
      encryption.setAAD(context);
      const body = [encryption.update(packed), encryption.final()];
      return Buffer.concat([magic, nonce.subarray(0, nonceBytes), ...body, encryption.getAuthTag()]);
    },
    open(name, sealed) {
      const start = magic.length + nonceBytes;
      try {
        const nonce = sealed.subarray(magic.length, start);
        const decryption = createDecipheriv('aes-256-gcm', cipherKey, nonce, { authTagLength: tagBytes });
        decryption.setAAD(contextOf(name));
        decryption.setAuthTag(sealed.subarray(-tagBytes));
        const body = decryption.update(sealed.subarray(start, -tagBytes));
        return Bun.zstdDecompressSync(Buffer.concat([body, decryption.final()]));
      } catch {
        // Node says no more than that it cannot: too short, another key or other bytes.
        throw new BackupError(
          'failed',
          `${name} cannot be opened: it was changed, or BACKUP_KEY is another.`,
        );
      }
    },
  };
}

function subkey(key: Uint8Array, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, '', `chat-backup 1 ${purpose}`, 32));
}

/** Ends in a zero byte, so that no name and content run into each other. */
function contextOf(name: string): Buffer {
  return Buffer.from(`chat-backup 1\0${name}\0`);
}
