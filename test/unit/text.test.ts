// The encodings of MESSAGE.
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { decodeText, deliverableText, encodeText } from '../../src/protocol/text.ts';

const hex = (bytes: Uint8Array | string) => Buffer.from(bytes as string).toString('hex');
const wellFormed = fc.string({ unit: 'binary' });
const anyUnits = fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units));
const marked = fc
  .tuple(fc.constantFrom('h', 'u', 'a', ':', '\ud800', '\0'), fc.oneof(fc.string(), fc.base64String()))
  .map(([mark, payload]) => `${mark}:${payload}`);

/** A byte order mark at the front is a mark, not text: decoders leave it out. */
const withoutMark = (text: string) => text.replace(/^\ufeff/, '');

test('what is encoded decodes to itself', () => {
  fc.assert(fc.property(wellFormed, (text) => decodeText(encodeText(text)) === withoutMark(text)));
});

test('base64url decodes to the text, with its padding or without', () => {
  fc.assert(
    fc.property(wellFormed, (text) => {
      const digits = Buffer.from(text).toString('base64url');
      const padded = digits.padEnd(Math.ceil(digits.length / 4) * 4, '=');
      expect([decodeText(`u:${digits}`), decodeText(`u:${padded}`)]).toEqual(
        Array(2).fill(withoutMark(text)),
      );
    }),
  );
});

test('a text without a colon in second place is itself', () => {
  fc.assert(
    fc.property(
      wellFormed.filter((text) => text[1] !== ':'),
      (text) => decodeText(text) === text && deliverableText(text) === text,
    ),
  );
});

test('bytes that are not UTF-8 do not decode', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const isUtf8 = Buffer.from(Buffer.from(bytes).toString('utf8')).equals(Buffer.from(bytes));
      expect(decodeText(`h:${hex(bytes)}`) !== null).toBe(isUtf8);
    }),
  );
});

test('whatever is sent, what is delivered can be opened, is well-formed and stays the same when delivered again', () => {
  fc.assert(
    fc.property(fc.oneof(anyUnits, marked, wellFormed), (text) => {
      const delivered = deliverableText(text);
      expect(decodeText(delivered)).not.toBeNull();
      expect(delivered.isWellFormed()).toBe(true);
      expect(deliverableText(delivered)).toBe(delivered);
    }),
    { numRuns: 1000 },
  );
});

test('a text that is valid is untouched and one that is not is the hex of itself', () => {
  fc.assert(
    fc.property(fc.oneof(marked, wellFormed), (sent) => {
      const text = sent.toWellFormed();
      const expected = decodeText(text) === null ? `h:${hex(text)}` : text;
      expect(deliverableText(text)).toBe(expected);
    }),
    { numRuns: 1000 },
  );
});

test('only lower-case hex of whole bytes is hex', () => {
  for (const text of ['h:6', 'h:6G', 'h:6869 ', 'h:C3A9', 'h:0x68']) expect(decodeText(text)).toBeNull();
  expect(decodeText('h:c3a9')).toBe('é');
});
