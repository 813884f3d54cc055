// How the backup repository is reached: its address without credentials, and the credentials by themselves.
import { readFileSync } from 'node:fs';
import { BackupError } from './error.ts';

export interface Access {
  /** Path, ssh or https address, without any credential: it may be shown. */
  readonly address: string;
  /** For http and https. They go to git by its environment alone, so into no command line and no file of git's. */
  readonly login: { readonly username: string; readonly password: string } | null;
  /** Path of the private key for ssh; null: what ssh finds by itself. */
  readonly sshKey: string | null;
}

export interface AccessSettings {
  /** As BACKUP_REPO has it, perhaps with credentials. */
  readonly repo: string;
  readonly token?: string | undefined;
  /** Path of a file that holds the token: read at each use, so that it may be replaced. */
  readonly tokenFile?: string | undefined;
  readonly sshKey?: string | undefined;
}

/** Hosting services that ask for a token alone take any name with it. */
const anyName = 'git';

/** @throws BackupError when the file of the token cannot be read */
export function accessOf({ repo, token, tokenFile, sshKey }: AccessSettings): Access {
  const { address, credentials } = withoutCredentials(repo);
  const [username = '', ...rest] = credentials.split(':');
  const password = (tokenFile ? readToken(tokenFile) : token) ?? decode(rest.join(':'));
  const isHttp = /^https?:/i.test(address);
  const login =
    isHttp && (credentials || password) ? { username: decode(username) || anyName, password } : null;
  return { address, login, sshKey: sshKey ?? null };
}

/** Whether it is a folder of this machine, by the rule that git has. */
export function isLocal({ address }: Access): boolean {
  if (/^file:\/\//i.test(address) || /^[a-z]:[\\/]/i.test(address)) return true;
  return !/^[^/]*:/.test(address);
}

/** The path of a local one. */
export function localPath({ address }: Access): string {
  return /^file:\/\//i.test(address) ? Bun.fileURLToPath(address) : address;
}

/** Every spelling of the secrets, to be looked for in texts. */
export function secretsOf({ login }: Access): string[] {
  if (!login) return [];
  // A token is often given as the name, without a password.
  const secrets = login.password ? [login.password] : [login.username];
  return secrets.flatMap((secret) => [secret, encodeURIComponent(secret)]).filter((text) => text.length > 0);
}

/** An `@` or a `/` in a password should be spelled %40 or %2F, and is often not. */
function withoutCredentials(repo: string): { address: string; credentials: string } {
  const [, scheme = '', rest = ''] = /^([a-z][a-z0-9+.-]*:\/\/)(.*)$/is.exec(repo) ?? [];
  if (!scheme) return { address: repo, credentials: '' };
  const slash = rest.indexOf('/');
  const host = slash < 0 ? rest : rest.slice(0, slash);
  const hasOddPassword = !host.includes('@') && /:(?!\d*$)[^\]]*$/.test(host);
  const at = hasOddPassword ? rest.lastIndexOf('@') : host.lastIndexOf('@');
  const [credentials, bare] = at < 0 ? ['', rest] : [rest.slice(0, at), rest.slice(at + 1)];
  // The name that ssh logs in with is no secret and belongs to the address; git itself ignores a password there.
  const isHttp = /^https?:/i.test(scheme);
  const name = isHttp || credentials === '' ? '' : `${credentials.split(':')[0]}@`;
  return { address: scheme + name + bare, credentials: isHttp ? credentials : '' };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray % : taken as it stands
  }
}

function readToken(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new BackupError('failed', `BACKUP_TOKEN_FILE cannot be read: ${reason}.`);
  }
}
