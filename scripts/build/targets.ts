// The platforms that the executable is built for, and the packages of the lock file that each is made of.

export interface Target {
  /** What the executable's name ends in. */
  readonly name: string;
  readonly os: 'linux' | 'darwin' | 'win32';
  readonly cpu: 'x64' | 'arm64';
  readonly libc?: 'glibc' | 'musl';
  /** What Bun calls it. */
  readonly compile: Bun.Build.CompileTarget;
  /** The package of Bun's runtime. */
  readonly runtime: string;
  /** The package of the compiled part of Argon2. */
  readonly addon: string;
}

/** One runtime serves every x64 processor with SSE4.2 (2008) and picks newer instructions as it runs. */
export const targets: readonly Target[] = [
  {
    name: 'linux-x64',
    os: 'linux',
    cpu: 'x64',
    libc: 'glibc',
    compile: 'bun-linux-x64',
    runtime: '@oven/bun-linux-x64',
    addon: '@node-rs/argon2-linux-x64-gnu',
  },
  {
    name: 'linux-arm64',
    os: 'linux',
    cpu: 'arm64',
    libc: 'glibc',
    compile: 'bun-linux-arm64',
    runtime: '@oven/bun-linux-aarch64',
    addon: '@node-rs/argon2-linux-arm64-gnu',
  },
  {
    name: 'linux-x64-musl',
    os: 'linux',
    cpu: 'x64',
    libc: 'musl',
    compile: 'bun-linux-x64-musl',
    runtime: '@oven/bun-linux-x64-musl',
    addon: '@node-rs/argon2-linux-x64-musl',
  },
  {
    name: 'linux-arm64-musl',
    os: 'linux',
    cpu: 'arm64',
    libc: 'musl',
    compile: 'bun-linux-arm64-musl',
    runtime: '@oven/bun-linux-aarch64-musl',
    addon: '@node-rs/argon2-linux-arm64-musl',
  },
  {
    name: 'macos-x64',
    os: 'darwin',
    cpu: 'x64',
    compile: 'bun-darwin-x64',
    runtime: '@oven/bun-darwin-x64',
    addon: '@node-rs/argon2-darwin-x64',
  },
  {
    name: 'macos-arm64',
    os: 'darwin',
    cpu: 'arm64',
    compile: 'bun-darwin-arm64',
    runtime: '@oven/bun-darwin-aarch64',
    addon: '@node-rs/argon2-darwin-arm64',
  },
  {
    name: 'windows-x64',
    os: 'win32',
    cpu: 'x64',
    compile: 'bun-windows-x64',
    runtime: '@oven/bun-windows-x64',
    addon: '@node-rs/argon2-win32-x64-msvc',
  },
  {
    name: 'windows-arm64',
    os: 'win32',
    cpu: 'arm64',
    compile: 'bun-windows-arm64',
    runtime: '@oven/bun-windows-aarch64',
    addon: '@node-rs/argon2-win32-arm64-msvc',
  },
];

/**
 * The target that this machine is.
 * @throws Error when there is none
 */
export function hostTarget(): Target {
  const { platform, arch } = process;
  const libc = platform === 'linux' ? hostLibc() : undefined;
  const found = targets.find(({ os, cpu, ...target }) => {
    return os === platform && cpu === arch && target.libc === libc;
  });
  if (!found) throw new Error(`There is no build for ${platform} on ${arch}.`);
  return found;
}

/** The runtime's report names the version of glibc that it runs on, if it runs on one. */
function hostLibc(): 'glibc' | 'musl' {
  return JSON.stringify(process.report.getReport()).includes('"glibcVersionRuntime"') ? 'glibc' : 'musl';
}
