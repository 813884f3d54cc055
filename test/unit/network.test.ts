// Which addresses are one and the same, which count as one, and whose a request is behind proxies.
import { expect, test } from 'bun:test';
import { loadConfig } from '../../src/config.ts';
import { clientAddress } from '../../src/http/address.ts';
import { canonicalAddress, networkOf, siteOf } from '../../src/infra/network.ts';

test('every spelling of an address is one', () => {
  const spellings = {
    '203.0.113.1': ['203.0.113.1', '::ffff:203.0.113.1', '::FFFF:cb00:7101', '0:0:0:0:0:ffff:203.0.113.1'],
    '2001:db8::1': ['2001:db8::1', '2001:DB8:0:0::1', '2001:0db8:0000:0000:0000:0000:0000:0001'],
    'fe80::1': ['fe80::1', 'fe80::1%eth0', 'FE80:0::1%25en1'],
    '::1': ['::1', '0:0:0:0:0:0:0:1'],
    unknown: ['unknown'],
    '': [''],
  };
  for (const [one, all] of Object.entries(spellings))
    for (const spelling of all) expect([spelling, canonicalAddress(spelling)]).toEqual([spelling, one]);
});

test('IPv6 counts by /64 and IPv4 by itself, in whatever clothes', () => {
  const inOne = ['2001:db8:1:2::1', '2001:DB8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:2::', '2001:db8:1:2:3::'];
  expect(new Set(inOne.map(networkOf))).toEqual(new Set(['2001:db8:1:2::/64']));
  expect(networkOf('2001:db8:1:3::1')).toBe('2001:db8:1:3::/64');
  expect(networkOf('2001:db8::1')).toBe('2001:db8:0:0::/64');
  expect(networkOf('::1')).toBe('0:0:0:0::/64');
  expect(networkOf('1::')).toBe('1:0:0:0::/64');
  expect(networkOf('::ffff:203.0.113.1')).toBe('203.0.113.1');
  expect(networkOf('203.0.113.2')).toBe('203.0.113.2');
  for (const other of ['unknown', '4711', 'alice@example.test', 'a:b']) expect(networkOf(other)).toBe(other);
});

test('a site is the /48 of an IPv6 address, and an IPv4 address its own', () => {
  expect(siteOf('2001:db8:1:2::1')).toBe('2001:db8:1::/48');
  expect(siteOf('2001:db8:1:ffff::1')).toBe('2001:db8:1::/48');
  expect(siteOf('2001:db8:2::1')).toBe('2001:db8:2::/48');
  expect(siteOf(networkOf('2001:db8:1:2::1'))).toBe('2001:db8:1::/48');
  expect(networkOf(networkOf('2001:db8:1:2::1'))).toBe('2001:db8:1:2::/64');
  expect(siteOf('203.0.113.1')).toBe('203.0.113.1');
});

const trusted = loadConfig({ TRUST_PROXY: '127.0.0.1, 10.0.0.0/8, 2001:db8:ffff::/48' }).TRUST_PROXY;
const behind = (forwardedFor: string | null, peer = '127.0.0.1') =>
  clientAddress(peer, forwardedFor, trusted);

test('of several hops the right-most that is no trusted proxy counts', () => {
  expect(behind('198.51.100.9, 203.0.113.1')).toBe('203.0.113.1');
  expect(behind('198.51.100.9, 203.0.113.1, 10.1.2.3')).toBe('203.0.113.1');
  expect(behind('203.0.113.1,10.1.2.3,10.0.0.7', '10.9.9.9')).toBe('203.0.113.1');
  expect(behind('203.0.113.1, 2001:db8:ffff::7', '::ffff:127.0.0.1')).toBe('203.0.113.1');
  expect(behind('10.0.0.1, 10.0.0.2')).toBe('10.0.0.1');
  expect(behind('127.0.0.1')).toBe('127.0.0.1');
  expect(behind(null)).toBe('127.0.0.1');
});

test('whoever is no trusted proxy is not believed', () => {
  expect(behind('203.0.113.1', '198.51.100.1')).toBe('198.51.100.1');
  expect(behind('203.0.113.1', '2001:db8::5')).toBe('2001:db8::5');
  expect(clientAddress('127.0.0.1', '203.0.113.1', undefined)).toBe('127.0.0.1');
  expect(behind('203.0.113.1', 'unknown')).toBe('unknown');
});

test('a port and brackets are taken off', () => {
  expect(behind('203.0.113.1:51234')).toBe('203.0.113.1');
  expect(behind('[2001:db8::1]:51234')).toBe('2001:db8::1');
  expect(behind('[2001:DB8::1]')).toBe('2001:db8::1');
  expect(behind('2001:db8::1')).toBe('2001:db8::1');
  expect(behind('[::ffff:203.0.113.1]:80, 10.0.0.1:443')).toBe('203.0.113.1');
});

test('nonsense counts for the proxy that passed it on, not as somebody new', () => {
  const nonsense = [
    'unknown',
    '',
    ' ',
    ',',
    '_hidden',
    '203.0.113',
    '203.0.113.999',
    '[2001:db8::1',
    '::1]:5',
  ];
  for (const claim of [...nonsense, '203.0.113.1:123456', '203.0.113.1 evil', '<script>', '"203.0.113.1"'])
    expect([claim, behind(claim)]).toEqual([claim, '127.0.0.1']);
  expect(behind('198.51.100.9, nonsense, 10.0.0.7')).toBe('10.0.0.7');
});
