// The old server's accounts: each mended, its password hashed on the way, its login kept where that is safe.
import { deriveToken, hashSecret, newPassword, newUid } from '../../accounts/secrets.ts';
import * as field from '../../protocol/fields.ts';
import type { OldAccount, TakenAccount } from '../../store/import-store.ts';
import { startProgress } from '../progress.ts';
import { type Course, type Known, keptUid, type People, uidOf } from './course.ts';
import { type Mended, mendBirthDate, mendPersonName, mendPhone, mendPicture, readTime } from './mending.ts';
import type { Cells, OldFile } from './old-files.ts';
import type { Mending, Report } from './report.ts';

/** One transaction; a kill loses no more hashes than these. */
const accountsAtOnce = 64;
const mostBytes = 4096;
const columns = [
  'UID',
  'FIRST_NAME',
  'LAST_NAME',
  'EMAIL',
  'DOB',
  'PHONE_NO',
  'PASSWORD',
  'PROFILE_PIC',
  'IS_MAIL_OTP',
  'COOKIE',
  'JOINED_ON',
];
/** What is not one of these is a code that was never entered. */
const isVerified = "CAST(IS_MAIL_OTP AS TEXT) IN ('0', '1')";

/** Takes all accounts, the verified ones first: of two with one address theirs it is. */
export async function takeAccounts(files: readonly OldFile[], course: Course): Promise<People> {
  const people = new Map<string, Known>();
  for (const { oldUid, ...known } of await course.store.listImportedAccounts()) people.set(oldUid, known);
  const before = new Set(people.keys());
  const sources = files.filter((file) => file.has('users', ['UID', 'EMAIL', 'IS_MAIL_OTP']));
  if (sources.length < files.length) course.report.refused('TABLE', 'users');
  const total = sources.reduce((sum, file) => sum + file.count('users', '1'), 0);
  using progress = startProgress('accounts', { total, silent: course.silent });
  for (const file of sources) {
    for (const verified of [true, false]) {
      for (const batch of batches(readRows(file, verified, course), accountsAtOnce)) {
        await takeBatch(batch, { people, before, verified }, course);
        progress.advance(batch.length);
      }
    }
  }
  return people;
}

function readRows(file: OldFile, verified: boolean, { report }: Course): Generator<Cells> {
  const rest = `WHERE (${isVerified}) IS ${verified ? '' : 'NOT '}TRUE ORDER BY here.UID`;
  const damaged = () => report.refused('DAMAGE', 'users');
  return file.rows({ table: 'users', columns, rest, mostBytes, damaged });
}

function* batches<Row>(rows: Iterable<Row>, size: number): Generator<Row[]> {
  let batch: Row[] = [];
  for (const row of rows) {
    batch.push(row);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

interface Taking {
  /** Grows by who is taken. */
  readonly people: Map<string, Known>;
  /** Who was taken by an earlier import. */
  readonly before: ReadonlySet<string>;
  readonly verified: boolean;
}

async function takeBatch(rows: readonly Cells[], taking: Taking, course: Course): Promise<void> {
  const { people, verified } = taking;
  const fresh = [...pickFresh(rows, taking, course).values()];
  const passwords = fresh.map(readPassword);
  const hashes = await course.hashPasswords(passwords.map((password) => password ?? newPassword()));
  const mended = fresh.map((cells, index) => mendAccount(cells, hashes[index] ?? '', course));
  const taken = await course.store.takeAccounts(mended.map(({ account }) => ({ ...account, verified })));
  for (const [index, { account, mendings }] of mended.entries()) {
    const outcome = taken[index] ?? null;
    const { oldUid } = account;
    people.set(oldUid, { uid: outcome?.uid ?? uidOf(oldUid, people), exists: outcome !== null });
    const all = passwords[index] === null ? [...mendings, 'PASSWORD' as const] : mendings;
    tell(course.report, { account, taken: outcome, mendings: all });
  }
}

/** The rows of accounts that are to be taken now, by old number. */
function pickFresh(
  rows: readonly Cells[],
  { people, before }: Taking,
  { report }: Course,
): Map<string, Cells> {
  const fresh = new Map<string, Cells>();
  for (const cells of rows) {
    const oldUid = cells.UID ?? '';
    const isNumber = /^-?\d{1,19}$/.test(oldUid);
    if (before.has(oldUid)) report.hadTaken('ACCOUNTS');
    else if (isNumber && !people.has(oldUid) && !fresh.has(oldUid)) fresh.set(oldUid, cells);
    else report.refused('ACCOUNT', isNumber ? `account ${oldUid}` : 'account without number');
  }
  return fresh;
}

/** Whatever somebody can log in with here; null when there is none. */
function readPassword({ PASSWORD = null }: Cells): string | null {
  const read = field.triedPassword.safeParse(PASSWORD);
  return read.success ? read.data : null;
}

type Mendable = Omit<OldAccount, 'verified'>;

function mendAccount(
  cells: Cells,
  passwordHash: string,
  course: Course,
): { account: Mendable; mendings: readonly Mending[] } {
  const oldUid = cells.UID ?? '';
  const mendings = new Set<Mending>();
  const take = <Value>({ value, isMended }: Mended<Value>, kind: Mending): Value => {
    if (isMended) mendings.add(kind);
    return value;
  };
  const kept = keptUid(oldUid);
  const uid = kept ?? newUid();
  const email = field.email.safeParse(cells.EMAIL);
  // Of a domain that nobody has (RFC 2606), and with what nobody can have taken before.
  const spare = { uid: newUid, email: () => `imported-${oldUid}-${newUid()}@no-address.invalid` };
  const joinedAt = readTime(cells.JOINED_ON ?? null, course.now);
  const account = {
    uid,
    firstName: take(mendPersonName(cells.FIRST_NAME ?? null), 'NAME'),
    lastName: take(mendPersonName(cells.LAST_NAME ?? null), 'NAME'),
    email: take({ value: email.success ? email.data : spare.email(), isMended: !email.success }, 'EMAIL'),
    phone: take(mendPhone(cells.PHONE_NO ?? null), 'PHONE'),
    dob: take(mendBirthDate(cells.DOB ?? null), 'BIRTH_DATE'),
    picture: take(mendPicture(cells.PROFILE_PIC ?? null), 'PICTURE'),
    passwordHash,
    createdAt: take({ value: joinedAt ?? course.now, isMended: joinedAt === null }, 'JOIN_TIME'),
    expiresAt: null, // only sign-ups made here are ever removed
  };
  // Its client goes on naming the old number, so that with another one the login is of no use.
  const session = kept === null ? null : sessionOf(uid, cells.COOKIE ?? null, course);
  return { account: { oldUid, account, session, spare }, mendings: [...mendings] };
}

/**
 * The login that an old cookie stands for; null unless it has the form that the old server made, whose randomness is
 * enough. It begins anew, or who has not come by for long would be logged out.
 */
function sessionOf(uid: number, cookie: string | null, { now, serverSecret }: Course): OldAccount['session'] {
  if (cookie === null || !/^MESSANGER__[A-Za-z0-9]{64}$/.test(cookie)) return null;
  const tokenHash = hashSecret(deriveToken(serverSecret, cookie));
  return { uid, cookieHash: hashSecret(cookie), tokenHash, createdAt: now, device: 'imported' };
}

interface Told {
  readonly account: Mendable;
  /** Null when it was deleted here. */
  readonly taken: TakenAccount | null;
  readonly mendings: readonly Mending[];
}

function tell(report: Report, { account: { oldUid, account }, taken, mendings }: Told): void {
  const example = `account ${oldUid}`;
  if (!taken) {
    report.refused('ACCOUNT_DELETED', example);
    return;
  }
  report.took('ACCOUNTS');
  if (taken.keepsSession) report.took('LOGINS');
  for (const kind of mendings) report.mended(kind, example);
  if (taken.email !== account.email) report.mended('EMAIL', example);
  if (String(taken.uid) === oldUid) {
    if (!taken.keepsSession) report.mended('COOKIE', example);
    return;
  }
  report.mended('NUMBER', example);
  report.renumbered(oldUid, taken.uid);
}
