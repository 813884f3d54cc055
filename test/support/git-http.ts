// Repositories over http: git's own http-backend behind a small server that asks for a login, and can be unkind.
import { join } from 'node:path';

export interface GitHttp extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  readonly origin: string;
  /** Every Authorization header that came. */
  readonly logins: string[];
  /** What a push is answered with: git's answer, none at all, a refusal, or git's answer after half a second. */
  pushes: 'taken' | 'unanswered' | 'forbidden' | 'slow';
}

/**
 * Serves the repositories below a folder to whoever has the login.
 * @param redirect where everything is sent to instead
 */
export function serveGitHttp(folder: string, login: string, redirect?: string): GitHttp {
  const logins: string[] = [];
  const expected = `Basic ${Buffer.from(login).toString('base64')}`;
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 0,
    maxRequestBodySize: 1024 ** 3,
    async fetch(request) {
      const url = new URL(request.url);
      if (redirect) return Response.redirect(`${redirect}${url.pathname}${url.search}`, 302);
      const authorization = request.headers.get('authorization');
      if (authorization) logins.push(authorization);
      if (authorization !== expected) {
        const headers = { 'WWW-Authenticate': 'Basic realm="repositories"' };
        return new Response('who are you?', { status: 401, headers });
      }
      const isPush = `${url.pathname}${url.search}`.includes('git-receive-pack');
      if (isPush && gitHttp.pushes === 'forbidden')
        return new Response('You may only read.', { status: 403 });
      if (isPush && gitHttp.pushes === 'unanswered') await new Promise(() => undefined);
      if (isPush && gitHttp.pushes === 'slow') await Bun.sleep(500);
      return answerByGit(request, url, folder);
    },
  });
  const gitHttp: GitHttp = {
    origin: server.url.origin,
    logins,
    pushes: 'taken',
    [Symbol.asyncDispose]: () => server.stop(true),
  };
  return gitHttp;
}

/** As a web server does by CGI. @see https://git-scm.com/docs/git-http-backend */
async function answerByGit(request: Request, url: URL, folder: string): Promise<Response> {
  const body = await request.bytes();
  const { headers } = request;
  const child = Bun.spawn(['git', 'http-backend'], {
    env: {
      PATH: process.env.PATH ?? '',
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: '1',
      REMOTE_USER: 'somebody', // without one, pushes are refused
      PATH_INFO: decodeURIComponent(url.pathname),
      PATH_TRANSLATED: join(folder, url.pathname),
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: headers.get('content-type') ?? '',
      CONTENT_LENGTH: String(body.length),
      HTTP_CONTENT_ENCODING: headers.get('content-encoding') ?? '',
      GIT_PROTOCOL: headers.get('git-protocol') ?? '',
    },
    stdin: body,
    stdout: 'pipe',
    stderr: 'ignore',
  });
  const output = Buffer.from(await child.stdout.bytes());
  const end = output.indexOf('\r\n\r\n');
  const fields = output
    .subarray(0, end)
    .toString()
    .split('\r\n')
    .map((line) => line.split(/: ?(.*)/s));
  const answer = new Headers(fields.map(([name = '', value = '']) => [name, value] as [string, string]));
  const status = Number.parseInt(answer.get('status') ?? '200', 10);
  answer.delete('status');
  return new Response(output.subarray(end + 4), { status, headers: answer });
}
