// What stops each attack of this folder: the lines without which it succeeds. The proof takes them away, one by one.

/** A line of `src/`, and what stands in its place in a build without the guard. */
export type Edit = readonly [file: string, guard: string, without: string];

/**
 * By the file of the attack and its title. A text instead of lines says why there are none to take away, and by what the
 * test is seen to be able to fail.
 */
export const guards: Readonly<Record<string, Readonly<Record<string, readonly Edit[] | string>>>> = {
  passwords: {
    'many addresses guess one password: the right one is no use after five wrong ones': [
      ['accounts/service.ts', ': loginGuesses.begin(guessKey(email)));', ': null);'],
    ],
    'one address tries one password with very many accounts': [
      ['infra/limiter.ts', 'loginByAddress: { points: 100,', 'loginByAddress: { points: 1e9,'],
    ],
    'a stolen session guesses the password of its account without end': [
      ['accounts/service.ts', 'session ? passwordGuesses.begin(session)', 'session ? null'],
    ],
  },
  codes: {
    'codes are tried until one fits: five wrong ones void the right one': [
      ['store/codes.ts', 'const maxWrongTries = 5;', 'const maxWrongTries = 1e9;'],
    ],
    'new codes are asked for again and again, until one of the five tries at each fits': [
      ['accounts/service.ts', 'await this.deps.codeGuesses.begin(whose);', ''],
    ],
    'a code is entered that lay in the mailbox for an hour': [
      ['store/codes.ts', 'gt(codes.expiresAt, now),', ''],
    ],
    'a code of the second factor is read over the shoulder and used again': [
      ['store/second-factors.ts', 'lt(secondFactors.lastStep, proof.step),', ''],
    ],
    'a recovery code is used twice': [
      [
        'store/second-factors.ts',
        '.delete(recoveryCodes)\n      .where(and(eq(recoveryCodes.uid, uid), eq(recoveryCodes.codeHash',
        '.update(recoveryCodes).set({ uid })\n      .where(and(eq(recoveryCodes.uid, uid), eq(recoveryCodes.codeHash',
      ],
    ],
  },
  enumeration: {
    'a login with an unknown address is answered as one with a wrong password': [
      [
        'accounts/service.ts',
        'const forget = await this.#limitGuesses(email, account, shown);',
        "const forget = async () => {};\n    if (!account) throw new AppError('not_found', 'There is no such account.');",
      ],
    ],
    'a login with an unknown address is answered sooner than one with a wrong password': [
      [
        'accounts/secrets.ts',
        'const against = passwordHash ?? (await decoy);',
        'if (passwordHash === null) return false;\n  const against = passwordHash;',
      ],
    ],
    'asking for a new password tells whether an address has an account': [
      [
        'accounts/recovery.ts',
        'if (!account) return;',
        "if (!account) throw new AppError('not_found', 'There is no such account.');",
      ],
    ],
  },
  sessions: {
    'a copy of the database is searched for credentials that open something': [
      [
        'accounts/secrets.ts',
        "return createHash('sha256').update(secret).digest('base64url');",
        'return secret;',
      ],
    ],
    'a stolen cookie is used after its owner has logged out': [
      ['accounts/sessions.ts', 'if ((await this.deps.store.endSessions(uid, id)) === 0)', 'if (id === 0)'],
    ],
    'a socket that a thief has open listens on after the owner has ended all sessions': [
      ['gateway/fanout.ts', 'socket.close(closeCodes.sessionEnded,', 'void (closeCodes.sessionEnded,'],
    ],
    'a cookie is found on a machine that was put away a hundred days ago': [
      ['accounts/sessions.ts', 'return lastUsedAt < sessionsUsedBefore ||', 'return false &&'],
    ],
  },
  access: {
    "an outsider reads a group's history": [
      [
        'store/messages.ts',
        "and(eq(members.chatId, chats.id), eq(members.uid, placeholder('uid'))))\n      .where(named)",
        'eq(members.chatId, chats.id))\n      .where(named)',
      ],
    ],
    'an outsider reads what two others said to each other':
      'the id of a direct chat is read as what the asker calls it, so there is none for an outsider; its member reads it',
    'an outsider writes into a group': [
      ['store/append.ts', "if (row.memberUid === null) return 'not_member';", ''],
    ],
    "an own cookie is sent with somebody else's number": [
      ['accounts/sessions.ts', '(uid !== null && session.uid !== uid) ||', ''],
      [
        'accounts/sessions.ts',
        'return { uid: session.uid, sessionId',
        'return { uid: uid ?? session.uid, sessionId',
      ],
    ],
    'an outsider finds out which groups there are': [
      [
        'store/chats.ts',
        "if (!group || !actorRole) return { outcome: 'no_group' };\n            if (!mayManage(actorRole)) return",
        "if (!group) return { outcome: 'no_group' };\n            if (!actorRole || !mayManage(actorRole)) return",
      ],
    ],
    'a member makes himself owner of a group': [
      [
        'store/roles.ts',
        "if (actorRole !== 'owner' || groupId === defaultGroupId) return 'not_allowed';",
        '',
      ],
    ],
    "somebody says something in another's name": [
      [
        'gateway/gateway.ts',
        'if (request.SENDER_ID != null && request.SENDER_ID !== actor.uid) {',
        'if (actor.uid === 0) {',
      ],
    ],
  },
  takeover: {
    'who signed up with the address of another keeps a session after its owner has come': [
      [
        'store/reset.ts',
        'ended: await deleteSessions(tx, eq(sessions.uid, uid))',
        'ended: await deleteSessions(tx, eq(sessions.uid, 0))',
      ],
    ],
    'a thief with a session changes the password and stays': [
      [
        'accounts/passwords.ts',
        'if (!(await verifyPassword(account.passwordHash, password))) {',
        'if (key === password) {',
      ],
    ],
    'a thief with a cookie makes the account his by another address, and deletes it': [
      ['store/sessions.ts', "return undoable ? 'address_new' : null;", 'return null;'],
    ],
    'a thief with a cookie makes the account his by another address, and locks it with a second factor': [
      ['store/sessions.ts', "return undoable ? 'address_new' : null;", 'return null;'],
    ],
    'the password that a thief has set opens the account after its owner has taken the address back': [
      [
        'store/accounts.ts',
        '.set({ email: key, emailKey: key, passwordHash })',
        '.set({ email: key, emailKey: key })',
      ],
    ],
    'an account is made of fields that nobody is asked for':
      'schemas hand on the fields they name and the store names its columns; a verified account gets the list',
  },
  admin: {
    'a wrong key lists the accounts': [
      [
        'ops/admin/key.ts',
        'if (right.some((one) => timingSafeEqual(hash, one))) return',
        'if (right.some((one) => timingSafeEqual(one, hash) || one)) return',
      ],
    ],
    'an account of the server is taken for its operator': [
      [
        'ops/admin/key.ts',
        'if (right.some((one) => timingSafeEqual(hash, one))) return',
        'if (right.some((one) => timingSafeEqual(one, hash) || one)) return',
      ],
    ],
    'the key is tried until one fits': [
      ['ops/admin/key.ts', "await limiter.consume('adminKeyByAddress', address);", ''],
    ],
    'the key is taken from an address, where logs and histories keep it': [
      [
        'ops/admin/routes.ts',
        "await guard(bearerOf(context.req.header('authorization')),",
        "await guard(bearerOf(context.req.header('authorization')) ?? context.req.query('key'),",
      ],
    ],
  },
  browser: {
    'a page of another site opens a socket': [
      [
        'gateway/gateway.ts',
        'if (!isAllowedOrigin(request.headers, this.deps.origins)) {',
        'if (!isAllowedOrigin) {',
      ],
    ],
    'a page of another site reads answers': [
      ['http/middleware.ts', "origin: origins === '*' ? '*' : [...origins],", "origin: '*',"],
    ],
    'a form of another site is sent to the server': [
      ['http/endpoint.ts', 'if (type !== undefined && !/^application', 'if (type === null && !/^application'],
    ],
    'an answer is framed, sniffed into a page, or runs what is in it': [
      [
        'http/middleware.ts',
        'for (const [name, value] of fields) context.header(name, value);\n    await next();',
        'if (fields.length === 0) context.header(String(), String());\n    await next();',
      ],
    ],
  },
  inputs: {
    'a picture is a script, or ends the CSS that it stands in': [
      ['protocol/fields.ts', "(text) => text === '' || isSafePicture(text),", '(text) => text !== null,'],
    ],
    'a name looks like another, or turns the text around it': [
      [
        'protocol/fields.ts',
        ".regex(/^(?=.*\\p{L})[\\p{L}\\p{M}' ’.-]*$/u, 'may only have letters, spaces, apostrophes, hyphens and dots')\n  .refine(isVisible, 'has characters that cannot be shown')",
        '',
      ],
    ],
    'an address adds receivers and lines to the mail that is sent to it': [
      ['protocol/fields.ts', ".pipe(z.email('is not a valid address'));", ';'],
      ['infra/mailer.ts', 'if (!isOneAddress(to)) return', 'if (!isOneAddress) return'],
    ],
    'a search pattern or a piece of SQL finds what is not asked for':
      'there is no query but by parameters; the right address logs in',
    'keys of an object reach into the program': [
      [
        'protocol/json.ts',
        'const value: unknown = JSON.parse(text);',
        'const value: unknown = Object.assign({}, JSON.parse(text));',
      ],
    ],
    'frames that are not UTF-8 are taken, or stop the server':
      'Bun itself closes such a connection, as RFC 6455 asks; the test waits for that close',
  },
  exhaustion: {
    'a body is larger than anything that is asked for': [
      ['app.ts', 'refuseEncodings,\n    limitBody,', 'refuseEncodings,'],
    ],
    'a small body unpacks to a large one': [['app.ts', 'refuseEncodings,\n    limitBody,', 'limitBody,']],
    'hundreds log in at once, so that all time and memory goes into hashing': [
      ['infra/limiter.ts', 'if (queue.length >= most)', 'if (queue.length < 0)'],
    ],
    'a socket sends without end': [
      [
        'gateway/gateway.ts',
        'if (socket.data.strikes > strikeLimit) this.#endFlood(socket);',
        'if (socket.data.strikes < 0) this.#endFlood(socket);',
      ],
    ],
    'an account writes hundreds of messages at once': [
      [
        'gateway/rates.ts',
        'message: { perSecond: 10, burst: 50 },',
        'message: { perSecond: 1e6, burst: 1e6 },',
      ],
    ],
    'an address opens sockets that say nothing until none is left for others': [
      [
        'gateway/admission.ts',
        'if (origin.unannounced >= unannouncedPerAddress * this.width) {',
        'if (origin.unannounced < 0) {',
      ],
    ],
    'a stranger has thousands of mails sent to somebody': [
      ['accounts/recovery.ts', "await limiter.consume('forgotByEmail', guessKey(email));", ''],
    ],
  },
  proxies: {
    'a header claims another address for each request': [
      [
        'http/address.ts',
        'if (!trusted || forwardedFor === null) return address;',
        'if (!trusted) return forwardedFor ?? address;\n  if (forwardedFor === null) return address;',
      ],
    ],
    'behind a proxy that is trusted, a header is sent along with claims of its own': [
      ['http/address.ts', 'const claim = claims.pop();', 'const claim = claims.shift();'],
    ],
    'one who has a /64 of IPv6 addresses takes another for each request': [
      [
        'infra/limiter.ts',
        'const [network, site] = [counted(key, networkOf), counted(key, siteOf)];',
        'const [network, site] = [key, counted(key, siteOf)];',
      ],
    ],
    'one who has a /48 of IPv6 addresses takes another /64 for each request': [
      ['infra/limiter.ts', 'if (site !== network) await bySite[rule].consume(site, points);', ''],
    ],
  },
  leaks: {
    'the log is searched for passwords, codes, cookies and keys':
      'nothing logs them, and what is logged is redacted besides (test/log.test.ts); the log is seen to have lines',
    'another user of the machine reads the data folder': [
      [
        'store/private-file.ts',
        "closeSync(openSync(path, 'ax', 0o600));",
        "closeSync(openSync(path, 'ax', 0o644));",
      ],
    ],
    'a restored copy of the database brings a deleted account back': [
      [
        'store/erasure.ts',
        'for (const erasure of ledger.list()) {',
        'for (const erasure of ledger.list().slice(0, 0)) {',
      ],
    ],
    'a removed message is read in the history, or in the file': [
      ['store/removal.ts', '.set({ body: removedText, removedAt: now })', '.set({ removedAt: now })'],
    ],
  },
};
