"""Triggers that keep what units of a started experiment or holdout rest on, whoever asks."""

CREATE = """
CREATE FUNCTION holdfast_keep_traffic() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM experiments_experiment WHERE id = OLD.experiment_id AND started_at IS NOT NULL) THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'traffic of a started experiment cannot be deleted' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.experiment_id <> OLD.experiment_id OR NEW.held_out IS DISTINCT FROM OLD.held_out
        OR (OLD.held_out IS NOT NULL AND (NEW.salt, lower(NEW.days)) IS DISTINCT FROM (OLD.salt, lower(OLD.days)))
    THEN
        RAISE EXCEPTION 'the slice of a holdout stays as it is from its start on' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.layer_id IS DISTINCT FROM OLD.layer_id OR lower(NEW.buckets) IS DISTINCT FROM lower(OLD.buckets)
        OR upper(NEW.buckets) < upper(OLD.buckets)
    THEN
        RAISE EXCEPTION 'buckets of a started experiment may grow, and never move' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER holdfast_keep_traffic BEFORE UPDATE OR DELETE ON experiments_traffic
FOR EACH ROW EXECUTE FUNCTION holdfast_keep_traffic();

CREATE FUNCTION holdfast_keep_members() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    touched experiments_holdoutmember;
    started boolean;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'a member of a holdout is added or taken away, never changed' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN
        touched := OLD;
    ELSE
        touched := NEW;
    END IF;
    SELECT experiment.started_at IS NOT NULL INTO started
    FROM experiments_traffic traffic JOIN experiments_experiment experiment ON experiment.id = traffic.experiment_id
    WHERE traffic.id = touched.member_id;
    IF started THEN
        RAISE EXCEPTION 'the holdouts of a started experiment stay as they are' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'INSERT' AND (
        (SELECT held_out FROM experiments_traffic WHERE id = NEW.holdout_id) IS NULL
        OR (SELECT held_out FROM experiments_traffic WHERE id = NEW.member_id) IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'a holdout has experiments as members' USING ERRCODE = 'check_violation';
    END IF;
    RETURN touched;
END;
$$;
CREATE TRIGGER holdfast_keep_members BEFORE INSERT OR UPDATE OR DELETE ON experiments_holdoutmember
FOR EACH ROW EXECUTE FUNCTION holdfast_keep_members();
"""

DROP = """
DROP TRIGGER holdfast_keep_members ON experiments_holdoutmember;
DROP FUNCTION holdfast_keep_members();
DROP TRIGGER holdfast_keep_traffic ON experiments_traffic;
DROP FUNCTION holdfast_keep_traffic();
"""
