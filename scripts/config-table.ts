// Prints the configuration table of the README, made from the variables that config.ts knows.
import { variables } from '../src/config.ts';

/** A Markdown table with one row per variable: its name, its default or `none`, its meaning. No line break at the end. */
export function configTable(): string {
  const rows = Object.entries(variables).map(([name, variable]) => {
    const value = variable.default === undefined ? 'none' : `\`${variable.default}\``;
    return `| \`${name}\` | ${value} | ${variable.meaning} |`;
  });
  return ['| variable | default | meaning |', '|---|---|---|', ...rows].join('\n');
}

if (import.meta.main) console.log(configTable());
