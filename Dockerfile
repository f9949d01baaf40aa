# Oriole in a container: built with the tools, run without them.
FROM node:20-bookworm-slim AS build
WORKDIR /oriole
COPY package.json package-lock.json ./
# Not `npm ci`: scripts/install.mjs says why.
RUN npm install --no-audit --no-fund
COPY tsconfig.json ./
COPY scripts scripts
COPY config config
COPY broker broker
COPY plugins plugins
RUN node scripts/build.mjs && npm prune --omit=dev --no-audit --no-fund

FROM node:20-bookworm-slim
ENV NODE_ENV=production
WORKDIR /oriole
COPY --from=build /oriole/package.json ./
COPY --from=build /oriole/node_modules node_modules
COPY --from=build /oriole/dist dist
COPY --from=build /oriole/config config
RUN ln -s /oriole/dist/broker/cli.js /usr/local/bin/oriole && chmod +x dist/broker/cli.js \
    && install -d -o node -g node -m 700 /var/lib/oriole
USER node
VOLUME /var/lib/oriole
# Inside the container: the admin server listens on loopback only.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/ready').then(({ status }) => process.exit(status === 200 ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["oriole"]
CMD ["start"]
