import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'

const tests = (name: string, timeout: number) => ({
  extends: true as const,
  test: {
    name,
    include: [`tests/${name}/**/*.test.ts`],
    testTimeout: timeout,
    hookTimeout: timeout,
    // A busy machine takes longer than the second by default.
    expect: { poll: { timeout: 10_000 } },
  },
})

// The two pages share chunks. Their names contain a hash of the content, so that browsers may store them for ever.
export default defineConfig({
  base: '/console/',
  plugins: [svelte()],
  build: {
    outDir: '../built',
    emptyOutDir: true,
    target: 'es2022',
    // It would be an inline script, which the policy of the pages forbids.
    modulePreload: { polyfill: false },
    // Small files would become data: URLs, which are stored in no cache.
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    reportCompressedSize: false,
    rollupOptions: { input: ['index.html', 'shop.html'] },
  },
  test: {
    fileParallelism: false,
    projects: [tests('unit', 10_000), tests('browser', 60_000), tests('pictures', 60_000)],
  },
})
