# The workers and the commands. Build: docker compose build
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    MALLOC_ARENA_MAX=2 \
    CAMPAIGNS_HOME=/data

WORKDIR /app
COPY pyproject.toml constraints.txt README.md ./
COPY campaigns campaigns
COPY workers workers
RUN pip install . -c constraints.txt \
    && useradd --uid 10001 --create-home campaigns \
    && install -d -o campaigns -g campaigns -m 700 /data

USER campaigns
# Not /app: there the sources would be imported instead of the installed package.
WORKDIR /home/campaigns
ENTRYPOINT ["campaigns"]
CMD ["--help"]
