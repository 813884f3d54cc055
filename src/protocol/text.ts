// The encodings of MESSAGE: `h:` + hex and `u:` + base64url of UTF-8 text, anything else is the text itself.

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * The text a MESSAGE shows, or null when it is marked as encoded but is not validly so.
 * A text is taken as marked when its second UTF-16 unit is `:`, because that is what the client in use looks at.
 */
export function decodeText(message: string): string | null {
  if (message[1] !== ':') return message;
  const payload = message.slice(2);
  if (message[0] === 'h' && /^(?:[0-9a-f]{2})*$/.test(payload)) return decodeUtf8(bytesOfHex(payload));
  if (message[0] === 'u' && isBase64Url(payload)) {
    const binary = atob(payload.replaceAll('-', '+').replaceAll('_', '/'));
    return decodeUtf8(Uint8Array.from(binary, (char) => char.charCodeAt(0)));
  }
  return null;
}

/** `h:` + lower-case hex of the UTF-8 bytes. */
export function encodeText(text: string): string {
  const pairs = Array.from(new TextEncoder().encode(text), (byte) => byte.toString(16).padStart(2, '0'));
  return `h:${pairs.join('')}`;
}

/** Of lower-case digits, an even number of them. Written for every runtime: browsers have no Buffer. */
function bytesOfHex(digits: string): Uint8Array {
  const bytes = new Uint8Array(digits.length / 2);
  const value = (at: number) => {
    const code = digits.charCodeAt(at);
    return code < 58 ? code - 48 : code - 87; // '0' to '9', 'a' to 'f'
  };
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = (value(2 * at) << 4) | value(2 * at + 1);
  return bytes;
}

/**
 * The form in which a MESSAGE is kept and delivered. A text that only looks encoded would make the chat unopenable
 * for every member of it, so it is encoded itself; lone surrogates, which no UTF-8 can carry, become U+FFFD.
 */
export function deliverableText(message: string): string {
  const wellFormed = message.toWellFormed();
  return decodeText(wellFormed) === null ? encodeText(wellFormed) : wellFormed;
}

/** A MESSAGE cut to this many code points of the text it shows, encoded if it was. */
export function previewText(message: string, codePoints: number): string {
  if (message.length <= codePoints) return message;
  const shown = [...(decodeText(message) ?? '')];
  if (shown.length <= codePoints) return message;
  const start = shown.slice(0, codePoints).join('');
  return message[1] === ':' ? encodeText(start) : start;
}

function isBase64Url(payload: string): boolean {
  const [, digits = '', padding = ''] = /^([A-Za-z0-9_-]*)(={0,2})$/.exec(payload) ?? [];
  const wellPadded = padding === '' || (digits.length + padding.length) % 4 === 0;
  return digits.length + padding.length === payload.length && digits.length % 4 !== 1 && wellPadded;
}

function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null; // TextDecoder says by an exception that the bytes are not UTF-8
  }
}
