// Tells the type checker what `import text from './x.sql' with { type: 'text' }` gives.
declare module '*.sql' {
  const text: string;
  export default text;
}
