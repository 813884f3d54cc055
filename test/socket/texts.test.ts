// What MESSAGE may be, over the wire: delivered as sent, or made harmless.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { credentials, join, makeGroup, type Person } from '../support/people.ts';
import { TestServer } from '../support/server.ts';
import { TestSocket } from '../support/socket.ts';

let server: TestServer;
let alice: Person;
let bob: Person;
let team: string;
let hers: TestSocket;
let his: TestSocket;

beforeAll(async () => {
  server = await TestServer.start();
  [alice, bob] = await Promise.all([join(server, 'Alice'), join(server, 'Bob')]);
  team = await makeGroup(server, alice, [bob]);
  [hers, his] = [await TestSocket.announced(server, alice), await TestSocket.announced(server, bob)];
});
afterAll(() => server.stop());

const hex = (text: string) => `h:${Buffer.from(text).toString('hex')}`;
const base64Url = (text: string) => `u:${Buffer.from(text).toString('base64url')}`;

/** Sends a text and gives it as reply, push, history and chat list carry it. */
async function deliver(text: string): Promise<string[]> {
  const reply = await hers.say(text, team);
  expect(reply.data.status_code).toBe(200);
  const push = await his.next();
  const history = await server.post('/get_old_messages', { ...credentials(bob), GROUP_ID: team, LIMIT: 1 });
  const list = await server.post('/get_all_chats', credentials(bob));
  const kept = history.body.groups_messages[team][reply.data.MESSAGE_ID].MESSAGE;
  return [reply.data.MESSAGE, push.data.MESSAGE, kept, list.body.chats[team].LAST_MESSAGE];
}

const untouched = [
  'hello',
  ' ',
  '  blanks at both ends \n',
  'h',
  ':',
  'ab:c',
  '<script>alert(1)</script>',
  '😀:)',
  'مرحبا',
  'e\u0301 stays decomposed',
  'a nul \0 inside',
  '\u0000',
  hex('hello'),
  hex('😀 مرحبا \0'),
  base64Url('hello'),
  base64Url('any length of padding'),
  base64Url('😀?>~'),
  hex('a:b'),
];

const unopenable = [
  'a:b',
  '::',
  'x:',
  'h:zz',
  'h:ABC',
  'h:ABCD',
  'h:abc',
  'h: 6869',
  'h:6869\n',
  'h:ff',
  'h:c3',
  'h:eda080',
  'u:***',
  'u:a',
  'u:_w',
  'u:aGk+',
  'H:6869',
  'U:aGk',
  '1:30 is when we meet',
  '\0:',
];

for (const text of untouched) {
  test(`${JSON.stringify(text)} is delivered as it was sent`, async () => {
    expect(await deliver(text)).toEqual(Array(4).fill(text));
  });
}

for (const text of unopenable) {
  test(`${JSON.stringify(text)}, which nobody could open, is delivered as the hex of itself`, async () => {
    expect(await deliver(text)).toEqual(Array(4).fill(hex(text)));
  });
}

test('lone surrogates become the replacement character and break nothing', async () => {
  expect(await deliver('a\ud800b')).toEqual(Array(4).fill('a\ufffdb'));
  expect(await deliver('\udc00')).toEqual(Array(4).fill('\ufffd'));
  expect(await deliver('\ud800:x')).toEqual(Array(4).fill(hex('\ufffd:x')));
});

test('an empty text is 400, encoded or not', async () => {
  for (const text of ['', 'h:', 'u:']) {
    const { data } = await hers.say(text, team);
    expect([text, data.status_code]).toEqual([text, 400]);
    expect(data.content.MESSAGE).toContain('empty');
  }
});

test('4000 characters pass and 4001 are 413, however they are written', async () => {
  for (const character of ['x', 'é', '漢', '😀']) {
    for (const write of [String, hex, base64Url]) {
      const longest = write(character.repeat(4000));
      // The list shows its beginning: one of long ones would be megabytes.
      const start = write === String ? character.repeat(200) : hex(character.repeat(200));
      expect(await deliver(longest)).toEqual([longest, longest, longest, start]);
      const { data } = await hers.say(write(character.repeat(4001)), team);
      expect([character, data.status_code, data.content.GROUP_ID]).toEqual([character, 413, team]);
    }
  }
  const encoded = hex(`a:${'x'.repeat(3998)}`);
  const start = hex(`a:${'x'.repeat(198)}`);
  expect(await deliver(`a:${'x'.repeat(3998)}`)).toEqual([encoded, encoded, encoded, start]);
  expect((await hers.say(`a:${'x'.repeat(3999)}`, team)).data.status_code).toBe(413);
  expect(await his.rest()).toEqual([]);
});
