// Chat ids: groups by their own, direct chats by two account numbers, the viewer's first.
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  chatIdFor,
  directChatId,
  looksDirect,
  maxUid,
  readChatId,
  viewerOf,
} from '../../src/protocol/entities.ts';

/** Any account number, many of them with zeros where they hurt. */
const uid = fc.oneof(
  fc.integer({ min: 1, max: maxUid }),
  fc
    .tuple(fc.integer({ min: 1, max: 999 }), fc.integer({ min: 0, max: 7 }))
    .map(([head, zeros]) => head * 10 ** zeros),
);

test("a direct chat's id is read back as the other person, from either side and spelled either way", () => {
  fc.assert(
    fc.property(uid, uid, (one, other) => {
      expect(readChatId(directChatId(one, other), one)).toEqual({ kind: 'direct', otherUid: other });
      expect(readChatId(directChatId(one, other), other)).toEqual({ kind: 'direct', otherUid: one });
      expect(looksDirect(directChatId(one, other))).toBe(true);
      expect(viewerOf(directChatId(one, other))).toBe(one);
    }),
    { numRuns: 1000 },
  );
});

test('the chat of one with oneself is read as that', () => {
  fc.assert(
    fc.property(uid, (self) => {
      expect(readChatId(directChatId(self, self), self)).toEqual({ kind: 'direct', otherUid: self });
    }),
  );
});

test('the direct chat of two others is nobody else’s', () => {
  fc.assert(
    fc.property(uid, uid, uid, (one, other, outsider) => {
      fc.pre(outsider !== one && outsider !== other);
      expect(readChatId(directChatId(one, other), outsider)).toBeNull();
    }),
    { numRuns: 1000 },
  );
});

test('every viewer sees a direct chat with his own number first', () => {
  fc.assert(
    fc.property(uid, uid, (viewer, other) => {
      const ref = readChatId(directChatId(other, viewer), viewer);
      expect(ref && chatIdFor(viewer, ref)).toBe(`${viewer}${'0'.repeat(16)}${other}`);
    }),
  );
});

test('a group is read as itself by everybody', () => {
  const groupId = fc.integer({ min: 1, max: 999_999_999_999_999 }).map(String);
  fc.assert(
    fc.property(groupId, uid, (id, asker) => {
      expect(readChatId(id, asker)).toEqual({ kind: 'group', groupId: id });
      expect(chatIdFor(asker, { kind: 'group', groupId: id })).toBe(id);
      expect(looksDirect(id)).toBe(false);
    }),
  );
});

test('what has neither form is no chat', () => {
  const zeros = '0'.repeat(16);
  const wrong = [
    '',
    '0',
    '01',
    '12a',
    ' 1',
    '1\n',
    '-1',
    '1.5',
    `5${zeros}`,
    `${zeros}5`,
    `5${zeros}07`,
    `5${zeros}${'9'.repeat(11)}`,
  ];
  for (const id of wrong) expect([id, readChatId(id, 5)]).toEqual([id, null]);
  fc.assert(
    fc.property(fc.string(), uid, (text, asker) => {
      fc.pre(!/^[1-9]\d*$/.test(text));
      expect(readChatId(text, asker)).toBeNull();
    }),
  );
});
